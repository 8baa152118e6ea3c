// express-pouchdb over PouchDB's leveldb adapter. usage: node server.mjs PORT FOLDER
import { createRequire } from "node:module"

const require = createRequire(import.meta.url)
const [port, folder] = [Number(process.argv[2]), process.argv[3]]
process.chdir(folder)
const PouchDB = require("pouchdb-node").defaults({ prefix: `${folder}/` })
const app = require("express")()
const settings = { mode: "minimumForPouchDB", inMemoryConfig: true, logPath: `${folder}/log.txt` }
app.use("/", require("express-pouchdb")(PouchDB, settings))
app.listen(port, "127.0.0.1")
