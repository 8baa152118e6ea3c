// Measures Hocuspocus. usage: node client.mjs catch-up|restart|meeting|acknowledged --data FOLDER --run 0 --docs 1000 …
import * as C from "./common.mjs"
import { nameOf, readStore, seedStore } from "./documents.mjs"
import { Phone } from "./phone.mjs"

const options = C.options("hocuspocus")
const { data } = options
const SERVER = new URL("server.mjs", import.meta.url).pathname
const boot = async () => {
  const server = await C.start(SERVER, data)
  return { ...server, url: `ws://127.0.0.1:${server.port}` }
}
const session = (server, phone, names, own) =>
  C.measured(server, async () => {
    const figures = await phone.session(server.url, names, own)
    phone.close()
    return figures
  })
const text = (phone, name) => phone.doc(name).getText("tekst")

async function catchUp() {
  const { docs, run } = options
  seedStore(data, docs, 1)
  const names = [...Array(docs).keys()].map(number => nameOf(1, number))
  const server = await boot()
  const whole = phone => {
    if (names.some(name => text(phone, name).length < 500)) throw new Error("a document did not arrive")
  }
  const other = new Phone()
  C.line(options, "W1", "cold", docs, 1, await session(server, other, names))
  whole(other)
  const me = new Phone()
  C.line(options, "W1", "warm", docs, 1, await session(server, me, names))
  whole(me)
  C.line(options, "W2", "", docs, 1, await session(server, me, names))

  const pick = C.shuffled(names, run + 1)
  const theirs = pick.slice(0, Math.min(200, docs / 5))
  const mine = pick.slice(Math.min(190, docs / 6)).slice(0, Math.min(20, docs / 5))
  for (const name of theirs) text(other, name).insert(0, "reactie van de buren op dit voorstel ")
  await other.session(server.url, theirs, new Set(theirs))
  other.close()
  await server.settle()
  for (const name of mine) text(me, name).insert(0, "mijn aanvulling van deze week ")
  const rest = names.filter(name => !mine.includes(name))
  const figures = await session(server, me, [...mine, ...rest], new Set(mine))
  const missed_docs = theirs.filter(name => !text(me, name).toString().includes("reactie van de buren")).length
  if (missed_docs > 0) throw new Error(`${missed_docs} changed documents did not arrive`)
  C.line(options, "W3", "", docs, 1, { ...figures, missed_docs })
  await server.kill()
}

async function restart() {
  const { docs, starts } = options
  seedStore(data, docs, 1)
  const [firsts, listens, cpus, residents] = [[], [], [], []]
  for (let start = 0; start < starts; start++) {
    const server = await boot()
    const phone = new Phone()
    const begun = performance.now() - server.started
    const { wall_ms } = await phone.session(server.url, [nameOf(1, (start * 37) % docs)])
    firsts.push(begun + wall_ms)
    listens.push(server.listenMs)
    cpus.push(server.cpu())
    residents.push(server.resident())
    phone.close()
    await server.kill()
  }
  const mean = cpus.reduce((sum, cpu) => sum + cpu, 0) / cpus.length
  C.line(options, "W7", "killed", docs, 1, {
    wall_ms: C.quantile(firsts, 0.5), server_cpu_s: mean, server_peak_mib: Math.max(...residents),
    first_answer_ms: C.quantile(listens, 0.5), slowest_ms: Math.max(...firsts), starts,
  })
}

async function meeting() {
  const { attending, writers, hz, seconds } = options
  seedStore(data, 1, 5)
  const name = nameOf(5, 0)
  const server = await boot()
  const [born, delivered, phones] = [[], [], []]
  for (let at = 0; at < attending; at++) {
    const phone = new Phone()
    phones.push(phone)
    await phone.session(server.url, [name])
    phone.doc(name).clientID = 7000 + at
    // Each change is a numbered mark: its arrival is what is timed.
    text(phone, name).observe((event, transaction) => {
      if (transaction.origin !== "net") return
      const now = performance.now()
      for (const change of event.delta) {
        for (const mark of change.insert?.matchAll(/#(\d+);/g) ?? []) delivered.push(now - born[Number(mark[1])])
      }
    })
  }
  for (const phone of phones) phone.up = phone.down = 0
  const figures = await C.measured(server, async () => {
    const timers = []
    for (const [at, phone] of phones.slice(0, writers).entries()) {
      phone.doc(name).on("update", (update, origin) => {
        if (origin !== "net") phone.update(name, update)
      })
      const type = () => {
        const mark = born.push(performance.now()) - 1
        text(phone, name).insert(text(phone, name).length, `#${mark};`)
      }
      setTimeout(() => timers.push(setInterval(type, 1000 / hz)), (at * 1000) / hz / writers)
    }
    await C.sleep(seconds * 1000)
    timers.forEach(clearInterval)
    await C.sleep(2000)
    const sum = of => phones.reduce((all, phone) => all + phone[of], 0)
    return { wall_ms: seconds * 1000, bytes_up: sum("up"), bytes_down: sum("down") }
  })
  C.line(options, "W5", "", 1, attending, {
    ...figures, p50_ms: C.quantile(delivered, 0.5), p99_ms: C.quantile(delivered, 0.99), slowest_ms: C.quantile(delivered, 1),
    changes: born.length, deliveries: delivered.length, expected_deliveries: born.length * (attending - 1),
  })
  phones.forEach(phone => phone.close())
  await server.kill()
}

async function acknowledged() {
  const { lanes, ack_seconds } = options
  seedStore(data, lanes, 3)
  const names = [...Array(lanes).keys()].map(number => nameOf(3, number))
  const server = await boot()
  const phone = new Phone()
  await phone.session(server.url, names)
  await server.settle()
  const [sent, acked, times] = [new Map(), new Map(names.map(name => [name, 0])), []]
  names.forEach((name, at) => {
    phone.doc(name).clientID = 90_000 + at
    phone.doc(name).on("update", (update, origin) => {
      if (origin !== "net") phone.update(name, update)
    })
  })
  const write = name => {
    sent.set(name, performance.now())
    text(phone, name).insert(text(phone, name).length, "ja ")
  }
  server.resetPeak()
  const [serverBefore, clientBefore, begun] = [server.cpu(), C.ownCpu(), performance.now()]
  let stop = false
  phone.onAck = name => {
    if (stop || !sent.has(name)) return
    times.push(performance.now() - sent.get(name))
    acked.set(name, acked.get(name) + 1)
    write(name)
  }
  names.forEach(write)
  await C.sleep(ack_seconds * 1000)
  stop = true
  const wall_ms = performance.now() - begun
  const figures = {
    wall_ms, server_cpu_s: server.cpu() - serverBefore, client_cpu_s: C.ownCpu() - clientBefore, server_peak_mib: server.peak(),
  }
  phone.onClose = null
  await server.kill()
  let [count, kept] = [0, 0]
  for (const name of names) {
    const there = readStore(data, name).getText("tekst").toString().match(/(ja )*$/)[0].length / 3
    count += acked.get(name)
    kept += Math.min(there, acked.get(name))
  }
  C.line(options, "W6", "", lanes, lanes, {
    ...figures, acknowledged: count, acknowledged_per_s: (count * 1000) / wall_ms, lost: count - kept,
    acked_p50_ms: C.quantile(times, 0.5), acked_p99_ms: C.quantile(times, 0.99),
  })
}

const groups = { "catch-up": catchUp, restart, meeting, acknowledged }
C.freshFolder(data)
await (groups[options.group] ?? (() => C.failed(`no such group: ${options.group}`)))().catch(C.failed)
process.exit(0)
