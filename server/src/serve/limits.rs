//! What the shell of the server bounds, each with its reason: connections, time, and what one device may ask of all others.
//!
//! These protect one server and its administrator may change them. What an entry may be is no matter of administrators: that
//! is `samenspraak_core::gate::limits`, the same everywhere. A quota here says "not now", never "no".

use std::time::Duration;

use crate::config::Reading;

/// Connections at once. A wijk has some thousands of phones, of which a few hundred are awake. A quiet one costs little;
/// one that stops reading in the middle of much news keeps 0.2 to 0.8 MiB (measured in `server/tests/e2e`).
pub const CONNECTIONS: u64 = 4096;
/// More than this a process can't have without its administrator raising other limits (open files) first.
const CONNECTIONS_MAX: u64 = 65_536;
/// Connections of one address at once: a hall full of people behind one router, or the part of a wijk that shares an address
/// of a mobile network. Programs on the server's own machine are not counted.
pub const CONNECTIONS_PER_ADDRESS: u64 = 512;
/// Connections that have not proved which device they are. An honest phone is one for a round trip, so they let thousands in
/// every second; one that says nothing ends after 15 s. Each may hold a frame that is being sent, at most 1 MiB.
pub const HANDSHAKES: u64 = 512;
/// Pushes of one device in a minute: twenty a second, four times what somebody who types in a live meeting sends.
pub const PUSHES_PER_MINUTE: u64 = 1200;
/// Bytes pushed by one device in a minute: everything a resident writes in years. A facilitator's laptop that brings the
/// evening of a hall (about 5 MiB for 200 people) needs no second minute.
pub const PUSH_BYTES_PER_MINUTE: u64 = 32 * 1024 * 1024;
/// Operations of changes by one device in a day. Typing all day makes about 30,000; a facilitator who brings in a thousand
/// letters of a page each makes three million. Folding ten million costs a phone that opens all of it about a minute (decision
/// 0007), and a hostile device gets there with 10 KB.
pub const OPERATIONS_PER_DAY: u64 = 10_000_000;
/// Requests for pages at once. The board has some members, each with one page that waits for changes.
pub const REQUESTS: u64 = 256;
/// Time for the head of a request, in seconds: a phone on a bad line sends its few hundred bytes in two.
pub const HEAD_SECONDS: u64 = 10;
/// Time until a request is answered, with the body of a form read, in seconds.
pub const REQUEST_SECONDS: u64 = 30;
/// Bytes that must be free on the disk for the server to be ready: some days of everything it may take, so that an
/// administrator hears of it before phones do.
pub const DISK_FREE_BYTES: u64 = 256 * 1024 * 1024;
/// Time that a stopping server takes for answers and goodbyes, in seconds; systemd kills after 90.
pub const STOP_SECONDS: u64 = 5;

/// Bytes of the head of a request: `hyper` refuses more. Our own are below 1 KiB; proxies add some headers.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers of a request.
pub const HEADERS_MAX: usize = 64;
/// Bytes of the first frame of a connection, its proof: a device and a signature are about 110.
pub const PROOF_BYTES_MAX: usize = 1024;
/// How long a TLS handshake may take.
pub const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a line may take no byte at all while the server has something for it.
pub const STALL_MAX: Duration = Duration::from_secs(60);
/// A quota that will have room this soon is waited for, and the phone notices nothing but a slower line. Beyond it the
/// phone is told to come back.
pub const QUOTA_WAIT_MAX: Duration = Duration::from_secs(2);

/// What an administrator may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections of one address at once.
    pub connections_per_address: usize,
    /// Connections at once that have not proved which device they are.
    pub handshakes: usize,
    /// Pushes of one device in a minute.
    pub pushes_per_minute: u64,
    /// Bytes pushed by one device in a minute.
    pub push_bytes_per_minute: u64,
    /// Operations of changes by one device in a day.
    pub operations_per_day: u64,
    /// Requests for pages at once.
    pub requests: usize,
    /// For the head of a request.
    pub head: Duration,
    /// Until a request is answered.
    pub request: Duration,
    /// Free bytes on the disk below which the server isn't ready.
    pub disk_free_bytes: u64,
    /// For answers and goodbyes when it stops.
    pub stop: Duration,
}

/// Reads the limits of a configuration.
pub(crate) fn read(read: &mut Reading) -> Limits {
    let mut count = |key, max, otherwise| {
        let number = read.number(key, 1..=max, otherwise);
        usize::try_from(number).unwrap_or(usize::MAX)
    };
    let connections = count("limits.connections", CONNECTIONS_MAX, CONNECTIONS);
    let connections_per_address = count("limits.connections_per_address", CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS);
    let handshakes = count("limits.handshakes", CONNECTIONS_MAX, HANDSHAKES);
    let requests = count("limits.requests", CONNECTIONS_MAX, REQUESTS);
    let mut seconds = |key, otherwise| Duration::from_secs(read.number(key, 1..=600, otherwise));
    let head = seconds("limits.head_seconds", HEAD_SECONDS);
    let request = seconds("limits.request_seconds", REQUEST_SECONDS);
    let stop = seconds("limits.stop_seconds", STOP_SECONDS);
    // A quota of less would keep out honest phones for good: a push is up to a frame, a pasted page up to 65,536 operations.
    Limits {
        connections,
        connections_per_address,
        handshakes,
        pushes_per_minute: read.number("limits.pushes_per_minute", 6..=u64::from(u32::MAX), PUSHES_PER_MINUTE),
        push_bytes_per_minute: read.number("limits.push_bytes_per_minute", MIB..=MIB * MIB, PUSH_BYTES_PER_MINUTE),
        operations_per_day: read.number("limits.operations_per_day", 70_000..=u64::from(u32::MAX), OPERATIONS_PER_DAY),
        requests,
        head,
        request,
        disk_free_bytes: read.number("limits.disk_free_bytes", 0..=MIB * MIB, DISK_FREE_BYTES),
        stop,
    }
}

const MIB: u64 = 1024 * 1024;
