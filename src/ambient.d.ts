// Names of the DOM library that Effect's declarations mention. Declaring the two here
// keeps `skipLibCheck` off and the DOM's globals out of the sources.
type JsonWebKey = import("node:crypto").webcrypto.JsonWebKey
type Transferable = import("node:worker_threads").Transferable

declare namespace NodeJS {
  interface ProcessReport {
    /** Whether reports leave out network interfaces and peers, whose names are looked up for them. Since Node 22. */
    excludeNetwork: boolean
  }
}
