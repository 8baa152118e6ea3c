//! A server that is asked to stop while phones push: every receipt that it sent is true, and it starts again without work.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use samenspraak_core::sync::wire::Frame;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::server_kills::{Told, keep_writing};
use crate::support::{PATIENCE, Seeded, Wijk, arg, long_text, pause, run, runtime, until, write};

const STOPS: usize = 10;
/// From the signal to the end of the process.
const STOP_MAX: Duration = Duration::from_secs(8);

#[test]
fn a_server_that_is_asked_to_stop_while_phones_push_keeps_its_word_and_ends_soon() {
    let (wijk, mut random, runtime) = (Wijk::new(), Seeded(6), runtime());
    let told = Arc::new(Told::default());
    let cards = wijk.cards("resident", 4);
    let phones: Vec<_> = cards
        .iter()
        .enumerate()
        .map(|(at, card)| runtime.spawn(keep_writing(wijk.join(card), wijk.address(), at, Arc::clone(&told))))
        .collect();
    let mut slowest = Duration::ZERO;
    for stop in 0..STOPS {
        let server = wijk.serve();
        assert!(!server.log().contains("rebuilt the index"), "seed 6, stop {stop}: {}", server.log());
        pause(random.time(Duration::from_millis(250)));
        let (status, time) = server.stop();
        assert!(status.success(), "seed 6, stop {stop}: {status}");
        assert!(time < STOP_MAX, "seed 6, stop {stop}: {time:?}");
        slowest = slowest.max(time);
        assert!(!wijk.folder().join("serve.json").exists());
        let arrived = told.arrived.lock().unwrap().clone();
        wijk.assert_holds(&arrived, &format!("seed 6, stop {stop}"));
    }
    let server = wijk.serve();
    told.done.store(true, Ordering::SeqCst);
    let written: usize = phones.into_iter().map(|phone| runtime.block_on(phone).unwrap()).sum();
    assert!(server.stop().0.success());
    let arrived = told.arrived.lock().unwrap().clone();
    assert_eq!(arrived.len(), written);
    wijk.assert_holds(&arrived, "seed 6, at the end");
    run(&["verify", arg(&wijk.folder())]).ok();
    println!(
        "{STOPS} stops while 4 phones pushed {written} entries: the slowest took {slowest:?}, no index was rebuilt"
    );
}

/// A connection that proved nothing and reads nothing.
async fn silent(port: u16) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client_async(format!("ws://127.0.0.1:{port}/sync"), stream).await.unwrap().0
}

#[test]
fn whoever_is_connected_hears_goodbye() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let server = wijk.serve();
    runtime.block_on(async {
        let mut socket = silent(wijk.port).await;
        let mut frames = Vec::new();
        while let Some(Ok(message)) = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap() {
            if let Message::Binary(bytes) = message {
                if frames.is_empty() {
                    server.ask_to_stop();
                }
                frames.push(Frame::decode(&bytes).unwrap());
            }
        }
        assert!(matches!(frames.as_slice(), [Frame::Hello { .. }, Frame::Bye]), "{frames:?}");
    });
    assert!(server.ended().0.success());
}

#[test]
fn a_second_signal_ends_the_server_at_once_and_what_was_acknowledged_is_there() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    // Longer than this test has patience for.
    let server = wijk.serve_with(&[("SAMENSPRAAK_LIMITS_STOP_SECONDS", "600")]);
    let cards = wijk.cards("resident", 2);
    let (mut writer, mut stalled) = (wijk.join(&cards[0]), wijk.join(&cards[1]));
    let mut random = Seeded(9);
    let written: Vec<_> = (0..120).map(|_| write(&mut writer, "Lang", &long_text(&mut random)).1).collect();
    runtime.block_on(writer.sync_once(&wijk.address())).unwrap();
    runtime.block_on(async {
        // Far behind and reading nothing: the server can't say goodbye to it.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(([127, 0, 0, 1], wijk.port).into()).await.unwrap();
        let (mut socket, _) = client_async(format!("ws://127.0.0.1:{}/sync", wijk.port), stream).await.unwrap();
        let Some(Ok(Message::Binary(hello))) = socket.next().await else { panic!("a greeting") };
        for frame in stalled.local_frame(hello.into()).unwrap().0 {
            socket.send(Message::Binary(frame.into())).await.unwrap();
        }
        tokio::task::block_in_place(|| {
            let sent = || server.get("/metrics", "").1;
            until("the line is full", || {
                let before = sent();
                pause(Duration::from_millis(100));
                let bytes = |text: &str| {
                    text.lines().find(|line| line.contains("frame_bytes_total{direction=\"out\"}")).map(str::to_owned)
                };
                (bytes(&before) == bytes(&sent())).then_some(())
            });
            server.ask_to_stop();
            until("it is stopping", || server.log().contains("\"stopping\"").then_some(()));
            let (status, _) = server.stop_again();
            assert_eq!(status.code(), Some(130));
        });
        drop(socket);
    });
    wijk.assert_holds(&written, "after two signals");
    assert!(wijk.serve().stop().0.success());
}
