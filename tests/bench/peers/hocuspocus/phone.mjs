// One phone of Hocuspocus: its wire protocol over one bare WebSocket, Yjs documents.
import * as Y from "yjs"
import WebSocket from "ws"
import * as encoding from "lib0/encoding"
import * as decoding from "lib0/decoding"
import * as sync from "y-protocols/sync"

const [SYNC, AUTH, REPLY, STATUS] = [0, 2, 4, 8]
const AUTHENTICATED = 2
// The server ends a connection with more than 100 documents that are not authenticated yet.
const WINDOW = 90
const SCREEN = 20
// Acknowledgements that come after the last document still count as bytes.
const LATE_MS = 250

export class Phone {
  constructor() {
    this.docs = new Map()
  }

  doc(name) {
    if (!this.docs.has(name)) this.docs.set(name, new Y.Doc())
    return this.docs.get(name)
  }

  send(encoder) {
    const bytes = encoding.toUint8Array(encoder)
    this.up += bytes.length
    this.socket.send(bytes)
  }

  open(url) {
    Object.assign(this, { up: 0, down: 0, trips: new Map(), onSynced: null, onAck: null })
    return new Promise((ready, broken) => {
      this.socket = new WebSocket(url, { perMessageDeflate: false })
      this.socket.binaryType = "arraybuffer"
      this.socket.on("open", ready)
      this.socket.on("error", broken)
      this.socket.on("message", bytes => this.take(new Uint8Array(bytes)))
      this.socket.on("close", () => this.onClose?.())
    })
  }

  // A token first; the document is asked for when the server says that it counts.
  begin(name) {
    const encoder = encoding.createEncoder()
    encoding.writeVarString(encoder, name)
    encoding.writeVarUint(encoder, AUTH)
    encoding.writeVarUint(encoder, 0)
    encoding.writeVarString(encoder, "")
    encoding.writeVarString(encoder, "4.7.0")
    this.trips.set(name, 1)
    this.send(encoder)
  }

  update(name, update) {
    const encoder = encoding.createEncoder()
    encoding.writeVarString(encoder, name)
    encoding.writeVarUint(encoder, SYNC)
    sync.writeUpdate(encoder, update)
    this.send(encoder)
  }

  take(bytes) {
    this.down += bytes.length
    const decoder = decoding.createDecoder(bytes)
    const name = decoding.readVarString(decoder).split("\0")[0]
    const type = decoding.readVarUint(decoder)
    if (type === AUTH) {
      if (decoding.readVarUint(decoder) !== AUTHENTICATED) return
      const encoder = encoding.createEncoder()
      encoding.writeVarString(encoder, name)
      encoding.writeVarUint(encoder, SYNC)
      sync.writeSyncStep1(encoder, this.doc(name))
      this.trips.set(name, this.trips.get(name) + 1)
      this.send(encoder)
    } else if (type === SYNC || type === REPLY) {
      const encoder = encoding.createEncoder()
      encoding.writeVarString(encoder, name)
      encoding.writeVarUint(encoder, SYNC)
      const empty = encoding.length(encoder)
      const kind = sync.readSyncMessage(decoder, encoder, this.doc(name), "net")
      if (encoding.length(encoder) > empty + 1) this.send(encoder)
      if (kind === 1) this.onSynced?.(name)
    } else if (type === STATUS) {
      this.onAck?.(name, decoding.readVarInt(decoder) === 1)
    }
  }

  // Opens all documents, at most WINDOW at once; those in `own` must be acknowledged too.
  async session(url, names, own = new Set()) {
    const begun = performance.now()
    await this.open(url)
    return new Promise((finish, broken) => {
      let [next, done, firstScreen] = [0, 0, 0]
      const [open, unacked] = [new Set(names), new Set(own)]
      this.onClose = () => broken(new Error("the server closed the line"))
      const check = () => {
        if (done < names.length || unacked.size > 0) return
        const wall_ms = performance.now() - begun
        this.onSynced = this.onAck = this.onClose = null
        const round_trips = 1 + [...this.trips.values()].reduce((most, trips) => Math.max(most, trips), 0)
        setTimeout(() => finish({ wall_ms, first_screen_ms: firstScreen || undefined, round_trips, bytes_up: this.up, bytes_down: this.down }), LATE_MS)
      }
      this.onAck = name => {
        if (unacked.delete(name)) check()
      }
      this.onSynced = name => {
        if (!open.delete(name)) return
        done++
        if (done === Math.min(SCREEN, names.length)) firstScreen = performance.now() - begun
        if (next < names.length) this.begin(names[next++])
        check()
      }
      while (next < names.length && next < WINDOW) this.begin(names[next++])
    })
  }

  close() {
    this.onClose = null
    this.socket.close()
  }
}
