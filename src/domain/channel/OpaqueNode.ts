/**
 * The OPAQUE layer for Node: passwords are stretched in a worker thread that ends with the work.
 *
 * WebAssembly never gives memory back, so in place the 64 MiB of Argon2id would stay with the process for its life; and
 * it would hold up the event loop for a fifth of a second. Measured on a download of 300 MiB: a peak of 174 MiB instead
 * of 212.
 */
import { Effect, Exit, type Layer, Schema } from "effect"
import * as threads from "node:worker_threads"
import { inPlace, isQuick, layerStretchedBy, type Opaque, OpaqueRejected, type Stretcher } from "./Opaque.ts"

// Plain text, so that it runs from sources, from a build and from a bundle alike; the library is found by its address.
// It asks whether there are requests and responses: Node would load its HTTP client for the answer, which takes 20 ms.
const program = `
  delete globalThis.Request
  delete globalThis.Response
  const { parentPort, workerData } = require("node:worker_threads")
  parentPort.once("message", async (question) => {
    if (question === undefined) process.exit()
    const { step, params } = question
    const library = await loading
    const answer = (() => { try { return { result: library.client[step](params) } } catch { return {} } })()
    parentPort.postMessage(answer)
  })
  const loading = import(workerData).then(async (library) => {
    await library.ready
    return library
  })
`

const start = (library: string, over: (worker: threads.Worker) => void): threads.Worker => {
  const worker = new threads.Worker(program, { eval: true, workerData: library, execArgv: [] })
  // Whoever asks hears of it too; unheard before that, it would end the whole process.
  worker.on("error", () => over(worker))
  worker.on("exit", () => over(worker))
  // A worker that is not asked after all must not keep the process alive.
  worker.unref()
  return worker
}

const Answer = <A, I>(result: Schema.Codec<A, I>) => Schema.Struct({ result: Schema.optional(result) })

const LoginAnswer = Answer(
  Schema.Struct({
    finishLoginRequest: Schema.String,
    sessionKey: Schema.String,
    exportKey: Schema.String,
    serverStaticPublicKey: Schema.String
  })
)

const RegistrationAnswer = Answer(
  Schema.Struct({
    registrationRecord: Schema.String,
    exportKey: Schema.String,
    serverStaticPublicKey: Schema.String
  })
)

const makeStretcher = (here: Stretcher, address: () => string): Stretcher => {
  // One that was started ahead of its question.
  let ready: threads.Worker | undefined
  // What was asked last says what comes next: most servers want one stretching, and a worker in vain costs a login.
  let wanted = true

  const begin = () =>
    start(address(), (worker) => {
      if (ready === worker) ready = undefined
    })

  const take = Effect.sync(() => {
    const worker = ready ?? begin()
    ready = undefined
    worker.ref()
    return worker
  })

  const takeWanted = Effect.suspend(() => {
    wanted = true
    return take
  })

  /** What costs nothing is done before a worker has started; one that was started ahead ends itself. */
  const quickly = <A>(work: Effect.Effect<A, OpaqueRejected>): Effect.Effect<A, OpaqueRejected> =>
    Effect.ensuring(
      work,
      Effect.sync(() => {
        wanted = false
        ready?.postMessage(undefined)
        ready = undefined
      })
    )

  const ask = <A, I>(step: "finishLogin" | "finishRegistration", params: object, answer: Schema.Codec<A, I>) =>
    Effect.acquireUseRelease(takeWanted, (worker) => answerOf(worker, { step, params }), stop).pipe(
      Effect.flatMap((message) =>
        Effect.mapError(Schema.decodeUnknownEffect(answer)(message), () => new OpaqueRejected())
      )
    )

  return {
    prepare: Effect.sync(() => {
      if (wanted) ready ??= begin()
    }),
    finishLogin: (params) =>
      isQuick(params.keyStretching)
        ? quickly(here.finishLogin(params))
        : Effect.map(ask("finishLogin", params, LoginAnswer), ({ result }) => result),
    finishRegistration: (params) =>
      isQuick(params.keyStretching)
        ? quickly(here.finishRegistration(params))
        : Effect.flatMap(ask("finishRegistration", params, RegistrationAnswer), ({ result }) =>
            result === undefined ? Effect.fail(new OpaqueRejected()) : Effect.succeed(result)
          )
  }
}

const answerOf = (worker: threads.Worker, question: object): Effect.Effect<unknown, OpaqueRejected> =>
  Effect.callback((resume) => {
    worker.once("message", (message) => resume(Effect.succeed(message)))
    worker.once("error", () => resume(Effect.fail(new OpaqueRejected())))
    worker.once("exit", () => resume(Effect.fail(new OpaqueRejected())))
    worker.postMessage(question)
  })

/** One that has answered ends by itself. To be stopped by us takes milliseconds in which everything stands still. */
const stop = (worker: threads.Worker, exit: Exit.Exit<unknown, OpaqueRejected>): Effect.Effect<void> =>
  Effect.sync(() => void (Exit.isSuccess(exit) ? worker.unref() : worker.terminate()))

/**
 * As `layer`, with another library in the worker.
 *
 * @param address gives what the worker imports; asked when one starts
 */
export const layerFrom = (address: () => string): Layer.Layer<Opaque> =>
  layerStretchedBy((library) => makeStretcher(inPlace(library), address))

/**
 * OPAQUE with Argon2id stretched by Node, off the main thread. The worker imports the library by its name: a program
 * that is bundled into one file, and runs without node_modules, uses `layerFrom`, or `Opaque.layer`.
 */
export const layer: Layer.Layer<Opaque> = layerFrom(() => import.meta.resolve("@serenity-kit/opaque"))
