import Foundation

/// What is here, and again whenever it reads differently: an `AsyncSequence` that ends when its phone is closed.
///
/// It looks when it is asked for the next value, so whoever is slow misses what came in between and never the last.
public struct Looking<Value: Equatable & Sendable>: AsyncSequence, Sendable {
    public typealias Element = Value

    private let notices: Notices
    private let id: String?
    private let look: @Sendable () async throws -> Value

    init(notices: Notices, id: String?, look: @escaping @Sendable () async throws -> Value) {
        self.notices = notices
        self.id = id
        self.look = look
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(signals: notices.signals(id: id).makeAsyncIterator(), look: look)
    }

    public struct Iterator: AsyncIteratorProtocol {
        private var signals: AsyncStream<Void>.Iterator
        private let look: @Sendable () async throws -> Value
        private var last: Value?

        init(signals: AsyncStream<Void>.Iterator, look: @escaping @Sendable () async throws -> Value) {
            self.signals = signals
            self.look = look
        }

        /// The next value that differs from the one before; `nil` once the phone is closed.
        public mutating func next() async throws -> Value? {
            while await signals.next() != nil {
                let value = try await look()
                if last != value {
                    last = value
                    return value
                }
            }
            return nil
        }
    }
}

/// Hears of the core what changed and passes it on. Never waits: the core's call returns at once.
final class Notices: Listener, @unchecked Sendable {
    private struct Follower {
        let id: String?
        let signal: AsyncStream<Void>.Continuation
    }

    private let lock = NSLock()
    private var followers: [UUID: Follower] = [:]
    private var watchers: [UUID: AsyncStream<SyncState>.Continuation] = [:]
    private var isFinished = false

    func changed(ids: [String]) throws {
        let heard = Set(ids)
        let concerned = lock.withLock {
            // An empty list means that anything may read differently.
            followers.values.filter { follower in heard.isEmpty || follower.id.map { heard.contains($0) } ?? true }
        }
        for follower in concerned {
            follower.signal.yield()
        }
    }

    func syncState(state: SyncState) throws {
        let watching = lock.withLock { Array(watchers.values) }
        for watcher in watching {
            watcher.yield(state)
        }
    }

    /// One signal at once, and one whenever the thing with this id may read differently; of many that wait, one is kept.
    func signals(id: String?) -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let key = UUID()
        let isOpen = lock.withLock {
            if !isFinished {
                followers[key] = Follower(id: id, signal: continuation)
            }
            return !isFinished
        }
        guard isOpen else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in self?.forget(key: key) }
        continuation.yield()
        return stream
    }

    /// The state of now, and every later one that is still true when it is asked for.
    func states(now: SyncState) -> AsyncStream<SyncState> {
        let (stream, continuation) = AsyncStream.makeStream(of: SyncState.self, bufferingPolicy: .bufferingNewest(1))
        let key = UUID()
        let isOpen = lock.withLock {
            if !isFinished {
                watchers[key] = continuation
            }
            return !isFinished
        }
        guard isOpen else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in self?.forget(key: key) }
        continuation.yield(now)
        return stream
    }

    /// Ends every stream.
    func finish() {
        let (signals, states) = lock.withLock {
            isFinished = true
            return (followers.values.map { $0.signal }, Array(watchers.values))
        }
        // Outside the lock: what ends calls `forget`.
        for signal in signals {
            signal.finish()
        }
        for state in states {
            state.finish()
        }
    }

    private func forget(key: UUID) {
        lock.withLock {
            followers[key] = nil
            watchers[key] = nil
        }
    }
}
