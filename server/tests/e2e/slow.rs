//! Lines that hardly move, many at once and of every kind: others are served as before, memory stays within what a few
//! frames take, and each of them ends by itself.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use samenspraak_server::client::Driver;
use tokio::net::TcpSocket;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use futures_util::{SinkExt, StreamExt};

use crate::support::{PATIENCE, Seeded, Wijk, long_text, runtime, until, write};

/// Of each kind at once.
const EACH: usize = 12;
/// What all of them together may cost: for each that is behind a stored segment of at most 1 MiB and two parts of it on the
/// line, and something for all others. They are behind by more than twice that.
const SLOW_KIB_MAX: u64 = 2 * EACH as u64 * 1280;
/// Syncs of somebody else, before and meanwhile.
const SYNCS: usize = 15;

/// Somebody far behind who has proved who they are. What they take afterwards is up to the caller.
async fn far_behind(port: u16, phone: &mut Driver) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://127.0.0.1:{port}/sync"), stream).await.unwrap();
    let Some(Ok(Message::Binary(hello))) = socket.next().await else { panic!("a greeting") };
    for frame in phone.local_frame(hello.into()).unwrap().0 {
        socket.send(Message::Binary(frame.into())).await.unwrap();
    }
    phone.disconnected();
    socket.into_inner().into_std().unwrap()
}

/// The middle one of how long syncs take.
fn syncs(runtime: &tokio::runtime::Runtime, phone: &mut Driver, address: &str) -> Duration {
    let mut took: Vec<Duration> = (0..SYNCS)
        .map(|number| {
            write(phone, &format!("Ronde {number}"), "Anderen gaan door.");
            let begun = Instant::now();
            runtime.block_on(phone.sync_once(address)).unwrap();
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[SYNCS / 2]
}

#[test]
fn lines_that_hardly_move_cost_little_and_others_are_served_meanwhile() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let server = wijk.serve_with(&[("SAMENSPRAAK_LIMITS_HEAD_SECONDS", "2")]);
    let cards = wijk.cards("resident", 3);
    let (mut writer, mut slow, mut other) = (wijk.join(&cards[0]), wijk.join(&cards[1]), wijk.join(&cards[2]));
    runtime.block_on(slow.sync_once(&wijk.address())).unwrap();
    let mut random = Seeded(12);
    for number in 0..560 {
        write(&mut writer, &format!("{number}"), &long_text(&mut random));
    }
    runtime.block_on(writer.sync_once(&wijk.address())).unwrap();
    let news = runtime.block_on(other.sync_once(&wijk.address())).unwrap().bytes_down;
    let behind = news * 2 * EACH as u64 / 1024;
    assert!(behind > 2 * SLOW_KIB_MAX, "the test is too small: {behind} KiB");
    let alone = syncs(&runtime, &mut other, &wijk.address());
    let before = server.resident_kib();

    // Who reads nothing, and who reads a byte now and then.
    let mut never = Vec::new();
    let mut rarely = Vec::new();
    for _ in 0..EACH {
        never.push(runtime.block_on(far_behind(wijk.port, &mut slow)));
        rarely.push(runtime.block_on(far_behind(wijk.port, &mut slow)));
    }
    // Who never ends the head of a request, and who asks for pages and takes none of them.
    let mut heads: Vec<TcpStream> = (0..EACH).map(|_| TcpStream::connect(("127.0.0.1", wijk.port)).unwrap()).collect();
    let mut pages: Vec<TcpStream> = (0..EACH).map(|_| TcpStream::connect(("127.0.0.1", wijk.port)).unwrap()).collect();
    for head in &mut heads {
        write!(head, "GET /bestuur HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ").unwrap();
    }
    for page in &mut pages {
        for _ in 0..200 {
            write!(page, "GET /bestuur/assets/board.css HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").unwrap();
        }
    }
    let mut byte = [0];
    for line in &rarely {
        line.set_nonblocking(true).unwrap();
    }
    let meanwhile = {
        let mut took: Vec<Duration> = Vec::new();
        for _ in 0..3 {
            for mut line in &rarely {
                // Nothing there yet is as good as a byte.
                let _ = line.read(&mut byte);
            }
            for head in &mut heads {
                let _ = head.write_all(b"a");
            }
            took.push(syncs(&runtime, &mut other, &wijk.address()));
        }
        took.sort();
        took[1]
    };
    let grown = server.resident_kib().saturating_sub(before);
    println!(
        "{} slow lines: a sync took {alone:?} before and {meanwhile:?} meanwhile; the server grew by {grown} KiB; {behind} KiB are unread",
        4 * EACH
    );
    assert!(grown < SLOW_KIB_MAX, "{grown} KiB, from {before}");
    // Unfinished heads end by themselves.
    for head in &mut heads {
        head.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = Vec::new();
        match head.read_to_end(&mut said) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        assert!(!String::from_utf8_lossy(&said).contains("200 OK"));
    }
    drop((never, rarely, pages));
    until("their places are free again", || (server.counter("connections") <= 1).then_some(()));
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert!(server.stop().0.success());
}
