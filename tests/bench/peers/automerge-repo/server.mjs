// The automerge-repo sync server, wired as its reference server is: a WebSocket server over nodefs storage, announcing
// nothing. usage: node server.mjs PORT FOLDER
import http from "node:http"
import { WebSocketServer } from "ws"
import { Repo } from "@automerge/automerge-repo"
import { WebSocketServerAdapter } from "@automerge/automerge-repo-network-websocket"
import { NodeFSStorageAdapter } from "@automerge/automerge-repo-storage-nodefs"

// The default is 5 s, at which a busy server ends connections whose answer it has not read yet; this favours the peer.
const KEEPALIVE_MS = 120_000

const [port, folder] = [Number(process.argv[2]), process.argv[3]]
const sockets = new WebSocketServer({ noServer: true })
new Repo({
  network: [new WebSocketServerAdapter(sockets, KEEPALIVE_MS)],
  storage: new NodeFSStorageAdapter(folder),
  peerId: "storage-server-bench",
  sharePolicy: async () => false,
})
const server = http.createServer((_request, response) => response.end("ok"))
server.on("upgrade", (request, socket, head) =>
  sockets.handleUpgrade(request, socket, head, upgraded => sockets.emit("connection", upgraded, request)))
// The adapter hooks in only after the storage id is read; a socket that arrives earlier is never served.
while (sockets.listenerCount("connection") === 0) await new Promise(done => setTimeout(done, 1))
server.listen(port, "127.0.0.1")
process.on("uncaughtException", problem => console.error("uncaught", problem))
process.on("unhandledRejection", problem => console.error("unhandled", problem))
