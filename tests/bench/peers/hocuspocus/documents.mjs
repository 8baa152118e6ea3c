// The documents of the benchmark as Yjs has them: as many changes, sessions and bytes of text as everywhere.
import * as Y from "yjs"
import Database from "better-sqlite3"
import { random, words } from "./common.mjs"

const CHANGES = 20
const CLIENTS_PER_SEED = 1e6

export const nameOf = (seed, number) => `wijk-${seed}-${String(number).padStart(6, "0")}`

function document(seed, number) {
  const next = random(seed * CLIENTS_PER_SEED + number)
  const doc = new Y.Doc()
  const client = session => seed * CLIENTS_PER_SEED + number * 4 + 1 + session
  doc.clientID = client(0)
  const [fields, text] = [doc.getMap("velden"), doc.getText("tekst")]
  doc.transact(() => {
    fields.set("titel", words(next, 30))
    fields.set("thema", 1 + Math.floor(next() * 5))
    fields.set("buurt", "")
    text.insert(0, words(next, 70))
  })
  for (let at = 1; at < CHANGES; at++) {
    if (at % 7 === 0) doc.clientID = client(at / 7)
    if (at % 10 === 9) fields.set("thema", 1 + Math.floor(next() * 5))
    else text.insert(text.length, words(next, 28))
  }
  return Y.encodeStateAsUpdate(doc)
}

export function seedStore(folder, count, seed) {
  const database = new Database(`${folder}/db.sqlite`)
  database.exec(`CREATE TABLE IF NOT EXISTS "documents" ("name" varchar(255) NOT NULL, "data" blob NOT NULL, UNIQUE(name))`)
  const insert = database.prepare(`INSERT INTO documents VALUES (?,?)`)
  database.transaction(() => {
    for (let number = 0; number < count; number++) insert.run(nameOf(seed, number), Buffer.from(document(seed, number)))
  })()
  database.close()
}

export function readStore(folder, name) {
  const database = new Database(`${folder}/db.sqlite`)
  const doc = new Y.Doc()
  const row = database.prepare("select data from documents where name=?").get(name)
  if (row) Y.applyUpdate(doc, row.data)
  database.close()
  return doc
}
