// What the Node peers share: words, a server's life, what the kernel says it cost, and a result as a line of JSON.
// The lines have the fields of tests/bench/src/line.rs.
import { spawn } from "node:child_process"
import fs from "node:fs"
import net from "node:net"

// A server has settled when it used next to nothing for this long: late saves count to its work.
const QUIET_MS = 400
const QUIET_CPU_S = 0.008
const SETTLE_MAX_MS = 20_000
const START_MAX_MS = 60_000

const WORDS = (
  "de het een van wij buurt straat plein bewoners gemeente speeltuin verkeer fietspad groen bankje overlast voorstel " +
  "vergadering avond samen graag zouden willen omdat kinderen ouderen veilig parkeren bomen aanleg subsidie wijkteam " +
  "besluit notulen actie volgende week iedereen mening oversteek drempel verlichting afval container moestuin " +
  "initiatief stemmen tegen voor misschien niet wel altijd hoek school winkel"
).split(" ")

// mulberry32: small, and the same numbers for the same seed.
export const random = seed => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

export const words = (next, bytes) => {
  let text = ""
  while (text.length < bytes) text += WORDS[Math.floor(next() * WORDS.length)] + " "
  return text
}

export const shuffled = (items, seed) => {
  const next = random(seed)
  const all = [...items]
  for (let at = all.length - 1; at > 0; at--) {
    const other = Math.floor(next() * (at + 1))
    ;[all[at], all[other]] = [all[other], all[at]]
  }
  return all
}

export const sleep = ms => new Promise(done => setTimeout(done, ms))

export const quantile = (values, part) => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted.length ? sorted[Math.round((sorted.length - 1) * part)] : undefined
}

export const freshFolder = folder => {
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
}

// `node client.mjs GROUP --data FOLDER --run 0 --docs 1000 …`
export const options = system => {
  const found = { group: process.argv[2], system }
  for (let at = 3; at + 1 < process.argv.length; at += 2) {
    const [name, value] = [process.argv[at].slice(2).replaceAll("-", "_"), process.argv[at + 1]]
    found[name] = name === "data" ? value : Number(value)
  }
  // A measurement that hangs ends here, with its server.
  if (found.limit) setTimeout(() => failed("it took longer than --limit"), found.limit * 1000).unref()
  return found
}

export const line = (options, workload, form, docs, phones, figures) => {
  const empty = { wall_ms: null, server_cpu_s: null, client_cpu_s: null, bytes_up: null, bytes_down: null, round_trips: null, server_peak_mib: null }
  const known = { workload, form, system: options.system, docs, phones, run: options.run ?? 0, outcome: "ok", note: null }
  console.log(JSON.stringify({ ...known, ...empty, ...figures }))
}

export const ownCpu = () => {
  const used = process.cpuUsage()
  return (used.user + used.system) / 1e6
}

const freePort = () =>
  new Promise(found => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address()
      server.close(() => found(port))
    })
  })

const listens = port =>
  new Promise(answer => {
    const socket = net.connect(port, "127.0.0.1")
    socket.on("connect", () => {
      socket.destroy()
      answer(true)
    })
    socket.on("error", () => answer(false))
  })

// Starts `node SERVER PORT FOLDER` and waits until it listens.
export async function start(server, folder) {
  const port = await freePort()
  const log = fs.openSync(`${folder}.log`, "a")
  const started = performance.now()
  const child = spawn("node", [server, String(port), folder], { stdio: ["ignore", log, log] })
  process.on("exit", () => child.kill("SIGKILL"))
  while (!(await listens(port))) {
    if (child.exitCode !== null || performance.now() - started > START_MAX_MS) throw new Error("the server does not come up")
    await sleep(1)
  }
  const { pid } = child
  const listenMs = performance.now() - started
  const status = key => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024
  // Nanoseconds, as the scheduler counts them, of every thread.
  const cpu = () => {
    let sum = 0
    for (const task of fs.readdirSync(`/proc/${pid}/task`)) {
      try {
        sum += Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0])
      } catch {
        // A thread that ended between the two lines.
      }
    }
    return sum / 1e9
  }
  const settle = async () => {
    const begun = performance.now()
    let before = cpu()
    while (performance.now() - begun < SETTLE_MAX_MS) {
      await sleep(QUIET_MS)
      const now = cpu()
      if (now - before < QUIET_CPU_S) return
      before = now
    }
  }
  const resetPeak = () => {
    try {
      fs.writeFileSync(`/proc/${pid}/clear_refs`, "5")
    } catch {
      // Then the peak is that of its whole life: never too low.
    }
  }
  const kill = () =>
    new Promise(gone => {
      child.on("exit", gone)
      child.kill("SIGKILL")
    })
  return { port, started, listenMs, cpu, settle, resetPeak, kill, resident: () => status("VmRSS"), peak: () => status("VmHWM") }
}

// What `work` cost the server and this client; `work` returns figures of its own.
export async function measured(server, work) {
  server.resetPeak()
  const [serverBefore, clientBefore] = [server.cpu(), ownCpu()]
  const figures = await work()
  const client_cpu_s = ownCpu() - clientBefore
  await server.settle()
  const server_cpu_s = server.cpu() - serverBefore
  return { ...figures, client_cpu_s, server_cpu_s, server_peak_mib: server.peak(), server_resident_mib: server.resident() }
}

export const failed = problem => {
  console.error(String(problem?.message ?? problem))
  process.exit(1)
}
