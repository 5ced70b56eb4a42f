/** curl and nginx over TLS 1.3: what a web server with WebDAV makes of files. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { createConnection } from "node:net"
import { join, relative } from "node:path"
import { type Contestant, pidOf, type Site, which } from "../Contestant.ts"
import { type Command, output, pause, start, stop } from "../Processes.ts"

const port = 22_443

/** A key and a certificate for the addresses that a bench has. */
export const certificate = async (folder: string): Promise<{ readonly key: string; readonly cert: string }> => {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")]
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
  const names = ["-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1,IP:192.0.2.2"]
  await output("openssl", "req", ...kind, ...names, "-keyout", key, "-out", cert)
  return { key, cert }
}

const config = ({ folder, place, root }: Site, key: string, cert: string): string => `
daemon off;
${process.getuid?.() === 0 ? "user root;" : ""}
worker_processes 2;
pid ${folder}/pid;
error_log ${folder}/errors;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  types { }
  default_type application/octet-stream;
  client_max_body_size 0;
  client_body_temp_path ${root}/.incoming;
  proxy_temp_path ${folder}/a; fastcgi_temp_path ${folder}/b; uwsgi_temp_path ${folder}/c; scgi_temp_path ${folder}/d;
  ssl_certificate ${cert};
  ssl_certificate_key ${key};
  ssl_protocols TLSv1.3;
  keepalive_requests 100000;
  http2_max_concurrent_streams 128;
  server {
    listen ${place.host}:${port} ssl http2;
    root ${root};
    location / { dav_methods PUT DELETE; create_full_put_path on; autoindex on; autoindex_format json; }
  }
}
`

/** Waits until something listens there. */
export const listens = async (pid: number, attempt: () => Promise<boolean>): Promise<void> => {
  for (let tries = 0; tries < 500; tries += 1) {
    if (await attempt()) return
    await pause(20)
  }
  throw new Error(`nothing listens in process ${pid}`)
}

/** Whether a connection can be made. */
export const connects = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ host, port })
    const end = (open: boolean) => {
      socket.destroy()
      resolve(open)
    }
    socket.on("connect", () => end(true))
    socket.on("error", () => end(false))
  })

/** Paths below a folder. */
const filesBelow = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))

export const curl: Contestant = {
  name: "curl",
  about: "curl and nginx, TLS 1.3; trees over HTTP/2, 16 files at once; no login",
  needs: { nginx: "nginx-light", curl: "curl", openssl: "openssl" },
  start: async (site) => {
    const { cert, key } = await certificate(site.folder)
    mkdirSync(join(site.root, ".incoming"))
    const path = join(site.folder, "nginx.conf")
    writeFileSync(path, config(site, key, cert))
    const child = start(
      site.place.far({ argv: [which("nginx") ?? "nginx", "-e", `${site.folder}/errors`, "-c", path] })
    )
    child.stderr?.resume()
    await listens(pidOf(child), () => connects(site.place.host, port))
    const url = (name: string) => `https://${site.place.host}:${port}/${name}`
    const curl = (...args: ReadonlyArray<string>): Command => ({
      argv: ["curl", "-sS", "--fail", "--cacert", cert, ...args]
    })
    const many = (lines: ReadonlyArray<string>): Command => {
      const list = join(site.folder, "list")
      writeFileSync(list, `${lines.join("\n")}\n`)
      return curl("--http2", "-Z", "--parallel-max", "16", "--create-dirs", "-K", list)
    }
    return {
      server: [pidOf(child)],
      commands: {
        put: (from, to) => curl("--http1.1", "-T", from, url(to)),
        get: (from, to) => curl("--http1.1", "-o", to, url(from)),
        getAgain: (from, to) => curl("--http1.1", "-C", "-", "-o", to, url(from)),
        putTree: (from, to) =>
          many(filesBelow(from).map((name) => `upload-file = "${join(from, name)}"\nurl = "${url(`${to}/${name}`)}"`)),
        getTree: (from, to) =>
          many(
            filesBelow(join(site.root, from)).map(
              (name) => `output = "${join(to, name)}"\nurl = "${url(`${from}/${name}`)}"`
            )
          ),
        list: (from) => curl("-N", url(`${from}/`))
      },
      stop: async () => {
        await stop(child)
        const errors = join(site.folder, "errors")
        const text = existsSync(errors) ? readFileSync(errors, "utf8") : ""
        if (/\[(alert|emerg|crit)\]/.test(text)) throw new Error(`nginx: ${text.slice(-300)}`)
      }
    }
  }
}
