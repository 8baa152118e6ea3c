import Foundation

/// Connects with the WebSockets of the system, with its certificates and its proxies. An app has one; the system keeps it until
/// ``invalidate()``.
public final class URLSessionConnector: NSObject, Connector, @unchecked Sendable {
    /// How long a connection may take to be there.
    private static let connectMax: Duration = .seconds(10)
    /// A line on which nobody writes is no failure; the core itself notices one that is dead. A day, in seconds.
    private static let idleMax: TimeInterval = 86_400

    private let lock = NSLock()
    private var tasks: [UInt64: URLSessionWebSocketTask] = [:]
    /// Who waits for a connection to be there, by the system's number of it.
    private var opening: [Int: CheckedContinuation<Void, any Error>] = [:]
    private lazy var session = URLSession(configuration: configuration, delegate: self, delegateQueue: nil)
    private let configuration: URLSessionConfiguration

    /// - Parameter configuration: The app's own, where it has wishes about proxies or networks that cost money.
    public init(configuration: URLSessionConfiguration = .ephemeral) {
        configuration.timeoutIntervalForRequest = Self.idleMax
        self.configuration = configuration
        super.init()
    }

    /// Ends every connection and lets go of the system's session; the connector can't be used after it.
    public func invalidate() {
        session.invalidateAndCancel()
    }

    public func connect(connection: UInt64, url: String, messageBytesMax: UInt64) async throws {
        guard let address = URL(string: url) else {
            throw ConnectionError.Failed(reason: "\(url) is no address")
        }
        let task = lock.withLock {
            let task = session.webSocketTask(with: address)
            // Before it is there: whoever gives up waiting closes it.
            tasks[connection] = task
            return task
        }
        task.maximumMessageSize = Int(messageBytesMax)
        let watch = Task {
            try await Task.sleep(for: Self.connectMax)
            task.cancel()
        }
        defer { watch.cancel() }
        do {
            try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                    lock.withLock { opening[task.taskIdentifier] = continuation }
                    task.resume()
                }
            } onCancel: {
                task.cancel()
            }
        } catch {
            await close(connection: connection)
            throw ConnectionError.Failed(reason: String(describing: error))
        }
    }

    public func send(connection: UInt64, message: Data) async throws {
        do {
            try await task(connection: connection).send(.data(message))
        } catch {
            throw failed(error: error)
        }
    }

    public func receive(connection: UInt64) async throws -> Data? {
        let task = try task(connection: connection)
        do {
            while true {
                switch try await task.receive() {
                case .data(let message):
                    return message
                case .string:
                    // The wijk's servers speak in bytes.
                    continue
                @unknown default:
                    continue
                }
            }
        } catch {
            // A goodbye is no failure.
            if task.closeCode != .invalid {
                return nil
            }
            throw failed(error: error)
        }
    }

    public func close(connection: UInt64) async {
        let task = lock.withLock { tasks.removeValue(forKey: connection) }
        task?.cancel(with: .normalClosure, reason: nil)
    }

    private func task(connection: UInt64) throws -> URLSessionWebSocketTask {
        guard let task = lock.withLock({ tasks[connection] }) else {
            throw ConnectionError.Failed(reason: "this connection is closed")
        }
        return task
    }

    private func failed(error: any Error) -> ConnectionError {
        if let known = error as? ConnectionError {
            return known
        }
        return ConnectionError.Failed(reason: String(describing: error))
    }

    /// Answers whoever waits for this connection; only the first answer counts.
    private func answer(task: URLSessionTask, with result: Result<Void, any Error>) {
        let waiting = lock.withLock { opening.removeValue(forKey: task.taskIdentifier) }
        waiting?.resume(with: result)
    }
}

extension URLSessionConnector: URLSessionWebSocketDelegate {
    public func urlSession(
        _ session: URLSession, webSocketTask: URLSessionWebSocketTask, didOpenWithProtocol protocol: String?
    ) {
        answer(task: webSocketTask, with: .success(Void()))
    }

    public func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        answer(task: task, with: .failure(error ?? ConnectionError.Failed(reason: "the server closed the connection")))
    }
}
