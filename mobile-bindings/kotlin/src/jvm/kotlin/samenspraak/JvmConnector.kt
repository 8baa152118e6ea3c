package samenspraak

import java.io.ByteArrayOutputStream
import java.net.URI
import java.net.http.HttpClient
import java.net.http.WebSocket
import java.nio.ByteBuffer
import java.time.Duration
import java.util.concurrent.CompletionStage
import java.util.concurrent.ConcurrentHashMap
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.future.await
import uniffi.samenspraak.ConnectionException
import uniffi.samenspraak.Connector

/** Connects with the WebSocket of Java 11 and later. Android has none; there an app brings one over its own HTTP client. */
class JvmConnector(private val client: HttpClient = HttpClient.newBuilder().connectTimeout(CONNECT_MAX).build()) : Connector {
    private val open = ConcurrentHashMap<ULong, Line>()

    override suspend fun connect(connection: ULong, url: String, messageBytesMax: ULong) {
        val line = Line(messageBytesMax.toLong())
        try {
            line.socket = client.newWebSocketBuilder().connectTimeout(CONNECT_MAX).buildAsync(URI.create(url), line).await()
        } catch (problem: Exception) {
            throw ConnectionException.Failed(problem.toString())
        }
        open[connection] = line
    }

    override suspend fun send(connection: ULong, message: ByteArray) {
        try {
            line(connection).socket!!.sendBinary(ByteBuffer.wrap(message), true).await()
        } catch (problem: Exception) {
            throw ConnectionException.Failed(problem.toString())
        }
    }

    override suspend fun receive(connection: ULong): ByteArray? {
        val line = line(connection)
        val received = line.messages.receiveCatching()
        received.exceptionOrNull()?.let { throw ConnectionException.Failed(it.toString()) }
        // The next part of a message is asked for when this one was taken: a server can't fill the memory.
        line.socket?.request(1)
        return received.getOrNull()
    }

    override suspend fun close(connection: ULong) {
        val line = open.remove(connection) ?: return
        line.messages.close()
        runCatching { line.socket?.sendClose(WebSocket.NORMAL_CLOSURE, "")?.await() }
        line.socket?.abort()
    }

    private fun line(connection: ULong) =
        open[connection] ?: throw ConnectionException.Failed("this connection is closed")

    private class Line(private val messageBytesMax: Long) : WebSocket.Listener {
        val messages = Channel<ByteArray>(Channel.UNLIMITED)

        @Volatile var socket: WebSocket? = null
        private val parts = ByteArrayOutputStream()

        override fun onBinary(webSocket: WebSocket, data: ByteBuffer, last: Boolean): CompletionStage<*>? {
            if (parts.size() + data.remaining() > messageBytesMax) {
                messages.close(IllegalStateException("a message of more than $messageBytesMax bytes"))
                webSocket.abort()
                return null
            }
            parts.write(ByteArray(data.remaining()).also { data.get(it) })
            if (last) {
                messages.trySend(parts.toByteArray())
                parts.reset()
            } else {
                webSocket.request(1)
            }
            return null
        }

        override fun onText(webSocket: WebSocket, data: CharSequence, last: Boolean): CompletionStage<*>? {
            webSocket.request(1)
            return null
        }

        override fun onClose(webSocket: WebSocket, statusCode: Int, reason: String): CompletionStage<*>? {
            messages.close()
            return null
        }

        override fun onError(webSocket: WebSocket, error: Throwable) {
            messages.close(error)
        }
    }

    private companion object {
        val CONNECT_MAX: Duration = Duration.ofSeconds(10)
    }
}
