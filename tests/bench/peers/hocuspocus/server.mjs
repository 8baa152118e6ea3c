// Hocuspocus with its SQLite extension, defaults kept. usage: node server.mjs PORT FOLDER
import { Server } from "@hocuspocus/server"
import { SQLite } from "@hocuspocus/extension-sqlite"

const [port, folder] = [Number(process.argv[2]), process.argv[3]]
const database = `${folder}/db.sqlite`
new Server({ port, address: "127.0.0.1", quiet: true, extensions: [new SQLite({ database })] }).listen()
