// Names of the DOM library that Effect's declarations mention. Declaring the two here
// keeps `skipLibCheck` off and the DOM's globals out of the sources.
type JsonWebKey = import("node:crypto").webcrypto.JsonWebKey
type Transferable = import("node:worker_threads").Transferable
