// Measures PouchDB's replication against express-pouchdb; the phone is PouchDB with its memory adapter. It keeps only the
// newest body of a document, not twenty changes that can be merged: less information for its bytes, which are those of its
// sockets, HTTP included. usage: node client.mjs catch-up|restart|acknowledged --data FOLDER --run 0 --docs 1000 …
import { createRequire } from "node:module"
import net from "node:net"
import * as C from "./common.mjs"

const require = createRequire(import.meta.url)
const plugins = ["pouchdb-adapter-memory", "pouchdb-adapter-http", "pouchdb-replication"]
const PouchDB = plugins.reduce((core, plugin) => core.plugin(require(plugin)), require("pouchdb-core"))

const options = C.options("pouchdb")
const { data } = options
const SERVER = new URL("server.mjs", import.meta.url).pathname
const JSON_TYPE = { "content-type": "application/json" }
const SEED_BATCH = 500
const SCREEN = 20

// Bytes on the wire, read from the sockets themselves.
const sockets = new Set()
const connect = net.Socket.prototype.connect
net.Socket.prototype.connect = function (...words) {
  sockets.add(this)
  return connect.apply(this, words)
}
const wire = () => {
  let [up, down] = [0, 0]
  for (const socket of sockets) [up, down] = [up + socket.bytesWritten, down + socket.bytesRead]
  return { up, down }
}
let requests = 0
const remote = url => {
  const fetching = (address, how) => {
    requests++
    return PouchDB.fetch(address, how)
  }
  return new PouchDB(url, { adapter: "http", fetch: fetching })
}

const idOf = number => `bijdrage-${String(number).padStart(6, "0")}`
const hex = next => [...Array(32)].map(() => "0123456789abcdef"[Math.floor(next() * 16)]).join("")
function document(number) {
  const next = C.random(1e6 + number)
  const body = { _id: idOf(number), titel: C.words(next, 30), thema: 1 + Math.floor(next() * 5), buurt: "", tekst: C.words(next, 600) }
  // Twenty edits leave twenty revision ids and one body.
  const ids = [...Array(20)].map(() => hex(next))
  return { ...body, _rev: `20-${ids[0]}`, _revisions: { start: 20, ids } }
}
async function seed(url, count) {
  await fetch(url, { method: "PUT" })
  for (let from = 0; from < count; from += SEED_BATCH) {
    const docs = [...Array(Math.min(SEED_BATCH, count - from)).keys()].map(at => document(from + at))
    const body = JSON.stringify({ docs, new_edits: false })
    const answer = await fetch(`${url}/_bulk_docs`, { method: "POST", body, headers: JSON_TYPE })
    await answer.text()
    if (!answer.ok) throw new Error(`filling the server: ${answer.status}`)
  }
}
const boot = async () => {
  const server = await C.start(SERVER, data)
  return { ...server, url: `http://127.0.0.1:${server.port}/wijk` }
}
// Filled through its own interface, then killed, so that it starts with documents on its disk.
const filled = async count => {
  const server = await boot()
  await seed(server.url, count)
  await server.settle()
  await server.kill()
}
let phones = 0
const phone = () => new PouchDB(`phone-${process.pid}-${phones++}`, { adapter: "memory" })
const session = (server, work) =>
  C.measured(server, async () => {
    const [before, requestsBefore, begun] = [wire(), requests, performance.now()]
    let [first_screen_ms, written] = [0, 0]
    const running = work()
    running.on?.("change", change => {
      written = change.docs_written ?? change.change?.docs_written ?? written
      if (written >= SCREEN && first_screen_ms === 0) first_screen_ms = performance.now() - begun
    })
    await running
    const [wall_ms, after] = [performance.now() - begun, wire()]
    const bytes = { bytes_up: after.up - before.up, bytes_down: after.down - before.down }
    return { wall_ms, first_screen_ms: first_screen_ms || undefined, round_trips: requests - requestsBefore, ...bytes }
  })

async function catchUp() {
  const { docs, run } = options
  await filled(docs)
  const server = await boot()
  const complete = async store => {
    const { doc_count } = await store.info()
    if (doc_count < docs) throw new Error(`${doc_count} of ${docs} documents arrived`)
  }
  const other = phone()
  C.line(options, "W1", "cold", docs, 1, await session(server, () => other.replicate.from(remote(server.url))))
  await complete(other)
  const me = phone()
  C.line(options, "W1", "warm", docs, 1, await session(server, () => me.replicate.from(remote(server.url))))
  await complete(me)
  C.line(options, "W2", "", docs, 1, await session(server, () => me.sync(remote(server.url))))

  const edit = async (store, ids, words) => {
    for (const id of ids) {
      const found = await store.get(id)
      await store.put({ ...found, tekst: found.tekst + words })
    }
  }
  const pick = C.shuffled([...Array(docs).keys()].map(idOf), run + 1)
  const theirs = pick.slice(0, Math.min(200, docs / 5))
  await edit(other, theirs, "reactie van de buren op dit voorstel ")
  await other.replicate.to(remote(server.url))
  await server.settle()
  await edit(me, pick.slice(theirs.length).slice(0, Math.min(20, docs / 5)), "mijn aanvulling van deze week ")
  const figures = await session(server, () => me.sync(remote(server.url)))
  for (const id of theirs) {
    if (!(await me.get(id)).tekst.includes("reactie van de buren")) throw new Error("a changed document did not arrive")
  }
  C.line(options, "W3", "", docs, 1, figures)
  await server.kill()
}

async function restart() {
  const { docs, starts } = options
  await filled(docs)
  const [firsts, listens, cpus, residents] = [[], [], [], []]
  for (let start = 0; start < starts; start++) {
    const server = await boot()
    const answer = await fetch(`${server.url}/${idOf((start * 37) % docs)}`)
    await answer.text()
    if (!answer.ok) throw new Error(`the first document: ${answer.status}`)
    firsts.push(performance.now() - server.started)
    listens.push(server.listenMs)
    cpus.push(server.cpu())
    residents.push(server.resident())
    await server.kill()
  }
  const mean = cpus.reduce((sum, cpu) => sum + cpu, 0) / cpus.length
  C.line(options, "W7", "killed", docs, 1, {
    wall_ms: C.quantile(firsts, 0.5), server_cpu_s: mean, server_peak_mib: Math.max(...residents),
    first_answer_ms: C.quantile(listens, 0.5), slowest_ms: Math.max(...firsts), starts,
  })
}

async function acknowledged() {
  const { lanes, ack_seconds } = options
  let server = await boot()
  await seed(server.url, lanes)
  await server.settle()
  const [times, newest] = [[], new Map()]
  let [count, stop] = [0, false]
  const { url } = server
  const lane = async number => {
    const { _revisions, ...body } = document(number)
    while (!stop) {
      const begun = performance.now()
      body.tekst += "ja "
      try {
        const answer = await fetch(`${url}/${body._id}`, { method: "PUT", body: JSON.stringify(body), headers: JSON_TYPE })
        const said = await answer.json()
        if (!said.ok) throw new Error(JSON.stringify(said))
        if (stop) return
        body._rev = said.rev
        newest.set(body._id, said.rev)
        count++
        times.push(performance.now() - begun)
      } catch (problem) {
        // The line breaks when the server is killed; before that it must not.
        if (!stop) throw problem
      }
    }
  }
  server.resetPeak()
  const [serverBefore, clientBefore, begun] = [server.cpu(), C.ownCpu(), performance.now()]
  const running = [...Array(lanes).keys()].map(lane)
  await C.sleep(ack_seconds * 1000)
  stop = true
  const wall_ms = performance.now() - begun
  const figures = {
    wall_ms, server_cpu_s: server.cpu() - serverBefore, client_cpu_s: C.ownCpu() - clientBefore, server_peak_mib: server.peak(),
  }
  await server.kill()
  await Promise.allSettled(running)
  server = await boot()
  const generation = rev => Number(rev.split("-")[0])
  let lost = 0
  for (const [id, rev] of newest) {
    const found = await (await fetch(`${server.url}/${id}`)).json()
    lost += Math.max(0, generation(rev) - generation(found._rev ?? "0-"))
  }
  await server.kill()
  C.line(options, "W6", "", lanes, lanes, {
    ...figures, acknowledged: count, acknowledged_per_s: (count * 1000) / wall_ms, lost,
    acked_p50_ms: C.quantile(times, 0.5), acked_p99_ms: C.quantile(times, 0.99),
  })
}

const groups = { "catch-up": catchUp, restart, acknowledged }
C.freshFolder(data)
await (groups[options.group] ?? (() => C.failed(`no such group: ${options.group}`)))().catch(C.failed)
process.exit(0)
