//! Connections that misbehave: each is ended or waited for by itself, the server's memory stays bounded, others go on.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use samenspraak_core::gate::limits::FRAME_BYTES_MAX;
use samenspraak_core::sync::wire::Frame;
use samenspraak_server::client::Driver;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{PATIENCE, Seeded, Wijk, long_text, runtime, write};

/// Connections at once in these tests.
const AT_ONCE: usize = 200;
/// Phones that stop reading, each far behind.
const STALLED: usize = 20;
/// What those may cost the server together: for each one piece of the log, as read and as it waits on the line. Their unread
/// data is more than three times this.
const STALLED_KIB_MAX: u64 = 20 * 1024;
/// A server's `PROVE_MAX` is 15 s.
const STRANGER: std::ops::Range<Duration> = Duration::from_secs(12)..Duration::from_secs(25);

type Socket = WebSocketStream<TcpStream>;

async fn connect(port: u16, receive_bytes: u32) -> (Socket, Vec<u8>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(receive_bytes).unwrap();
    let stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://127.0.0.1:{port}/sync"), stream).await.unwrap();
    match tokio::time::timeout(PATIENCE, socket.next()).await.unwrap() {
        Some(Ok(Message::Binary(hello))) => (socket, hello.into()),
        other => panic!("a greeting, not {other:?}"),
    }
}

/// Waits until the server has closed; says what it sent before.
async fn closed(mut socket: Socket) -> usize {
    let mut frames = 0;
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("the server closes") {
            Some(Ok(Message::Binary(_))) => frames += 1,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return frames,
            Some(Ok(_)) => {}
        }
    }
}

async fn sync_soon(phone: &mut Driver, address: &str) -> Duration {
    let begun = Instant::now();
    tokio::time::timeout(Duration::from_secs(20), phone.sync_once(address)).await.expect("soon").unwrap();
    begun.elapsed()
}

#[test]
fn garbage_closes_only_its_own_connection_and_a_frame_that_is_too_long_is_refused() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let server = wijk.serve();
    let mut phone = wijk.join(&wijk.cards("resident", 1)[0]);
    let mut random = Seeded(7);
    let mut garbage: Vec<Vec<u8>> =
        vec![Vec::new(), vec![0xff; 40], vec![0x9f; 4000], vec![0x5b; 9], Frame::Bye.encode()];
    for length in 1..40 {
        garbage.push((0..length * 7).map(|_| u8::try_from(random.below(256)).unwrap()).collect());
    }
    runtime.block_on(async {
        let (bystander, _) = connect(wijk.port, 65_536).await;
        for bytes in garbage {
            let (mut socket, _) = connect(wijk.port, 65_536).await;
            socket.send(Message::Binary(bytes.clone().into())).await.unwrap();
            assert_eq!(closed(socket).await, 0, "seed 7: an answer to {bytes:?}");
        }
        let (mut socket, hello) = connect(wijk.port, 65_536).await;
        // Proven, and then too long; the server may close before all of it is sent.
        for frame in phone.local_frame(hello).unwrap().0 {
            socket.send(Message::Binary(frame.into())).await.unwrap();
        }
        phone.disconnected();
        let _ = socket.send(Message::Binary(vec![0; FRAME_BYTES_MAX + 1].into())).await;
        closed(socket).await;
        write(&mut phone, "Toch", "Het gaat gewoon door.");
        sync_soon(&mut phone, &wijk.address()).await;
        drop(bystander);
    });
    assert_eq!(server.get("/healthz", "").0, 200);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_connection_that_never_proves_itself_is_closed_and_two_hundred_at_once_are_served() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let server = wijk.serve();
    let mut phone = wijk.join(&wijk.cards("resident", 1)[0]);
    let (took, alone) = runtime.block_on(async {
        let begun = Instant::now();
        let mut sockets = Vec::new();
        for _ in 0..AT_ONCE {
            sockets.push(connect(wijk.port, 65_536).await.0);
        }
        let connections = tokio::task::block_in_place(|| server.counter("connections"));
        assert!(connections >= AT_ONCE as u64, "{connections}");
        write(&mut phone, "Druk", "Er zijn er veel tegelijk.");
        let took = sync_soon(&mut phone, &wijk.address()).await;
        for socket in sockets {
            assert_eq!(closed(socket).await, 0);
        }
        (took, begun.elapsed())
    });
    assert!(STRANGER.contains(&alone), "strangers were closed after {alone:?}");
    println!("{AT_ONCE} strangers at once: a phone synced in {took:?} meanwhile; all were closed after {alone:?}");
    assert!(server.stop().0.success());
}

#[test]
fn phones_that_stop_reading_cost_the_server_little_and_others_go_on() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let server = wijk.serve();
    let cards = wijk.cards("resident", 3);
    let (mut writer, mut stalled, mut other) = (wijk.join(&cards[0]), wijk.join(&cards[1]), wijk.join(&cards[2]));
    runtime.block_on(sync_soon(&mut stalled, &wijk.address()));
    let mut random = Seeded(8);
    for number in 0..380 {
        write(&mut writer, &format!("{number}"), &long_text(&mut random));
    }
    runtime.block_on(sync_soon(&mut writer, &wijk.address()));
    // Once for the memory that reading takes at all.
    runtime.block_on(sync_soon(&mut wijk.join(&wijk.cards("resident", 1)[0]), &wijk.address()));
    let before = server.resident_kib();
    let (behind, sockets) = runtime.block_on(async {
        let mut sockets = Vec::new();
        for _ in 0..STALLED {
            let (mut socket, hello) = connect(wijk.port, 4096).await;
            for frame in stalled.local_frame(hello).unwrap().0 {
                socket.send(Message::Binary(frame.into())).await.unwrap();
            }
            stalled.disconnected();
            sockets.push(socket);
        }
        let moved = tokio::time::timeout(PATIENCE, other.sync_once(&wijk.address())).await.unwrap().unwrap();
        for round in 0..5 {
            write(&mut other, &format!("Ronde {round}"), "Anderen gaan door.");
            sync_soon(&mut other, &wijk.address()).await;
        }
        (moved.bytes_down * STALLED as u64 / 1024, sockets)
    });
    let grown = server.resident_kib().saturating_sub(before);
    println!("{STALLED} phones that stopped reading are {behind} KiB behind; the server grew by {grown} KiB");
    assert!(behind > 3 * STALLED_KIB_MAX, "the test is too small: {behind} KiB");
    assert!(grown < STALLED_KIB_MAX, "{grown} KiB, from {before}");
    assert!(server.counter("connections") >= STALLED as u64);
    drop(sockets);
    assert!(server.stop().0.success());
}
