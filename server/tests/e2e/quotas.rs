//! Limits of the running server: who is one too many is told so, who asks too much hears when to come back, others go on.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use samenspraak_core::sync::phone::SessionError;
use samenspraak_core::sync::wire::{Frame, RefusalCode};
use samenspraak_server::client::{Driver, SyncError, now};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{PATIENCE, Wijk, has_arrived, runtime, until, write};

type Socket = WebSocketStream<TcpStream>;

/// Connects as somebody whom a proxy carries; otherwise says the status and when to come again.
async fn connect_from(port: u16, address: &str) -> Result<Socket, (u16, String)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut request = format!("ws://127.0.0.1:{port}/sync").into_client_request().unwrap();
    request.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => {
            let after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().to_owned());
            Err((answer.status().as_u16(), after.unwrap_or_default()))
        }
        Err(error) => panic!("{error}"),
    }
}

async fn next_frame(socket: &mut Socket) -> Vec<u8> {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.unwrap() {
            Some(Ok(Message::Binary(bytes))) => return bytes.into(),
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("a frame, not {other:?}"),
        }
    }
}

#[test]
fn one_address_takes_no_more_than_its_places_and_leaves_those_of_others() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let variables =
        [("SAMENSPRAAK_LIMITS_CONNECTIONS_PER_ADDRESS", "2"), ("SAMENSPRAAK_PROXY_TRUSTED", "127.0.0.0/8, ::1")];
    let server = wijk.serve_with(&variables);
    runtime.block_on(async {
        let first = connect_from(wijk.port, "192.0.2.1").await.unwrap();
        let _second = connect_from(wijk.port, "192.0.2.1").await.unwrap();
        assert_eq!(connect_from(wijk.port, "192.0.2.1").await.err(), Some((503, "30".to_owned())));
        // What somebody wrote before the proxy did gives nobody another place.
        assert_eq!(connect_from(wijk.port, "198.51.100.7, 192.0.2.1").await.err(), Some((503, "30".to_owned())));
        let _other = connect_from(wijk.port, "192.0.2.2").await.unwrap();
        drop(first);
        let mut again = None;
        while again.is_none() {
            again = connect_from(wijk.port, "192.0.2.1").await.ok();
        }
    });
    let (_, text) = server.get("/metrics", "");
    assert!(text.contains("samenspraak_full_total{limit=\"connections_per_address\"}"), "{text}");
    assert!(server.stop().0.success());
}

#[test]
fn when_all_places_are_taken_one_more_is_told_so_and_one_that_leaves_makes_room() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let metrics = crate::support::free_port();
    // One is the board's own device, which follows as long as somebody looks.
    let variables =
        [("SAMENSPRAAK_LIMITS_CONNECTIONS", "4"), ("SAMENSPRAAK_METRICS_LISTEN", &format!("127.0.0.1:{metrics}"))];
    let server = wijk.serve_with(&variables);
    let connections = || {
        let (_, text) = crate::watching::ask(metrics, "/metrics", &["host: here"]);
        text.lines().find_map(|line| line.strip_prefix("samenspraak_connections ")).unwrap().parse::<u64>().unwrap()
    };
    // The root's device has a place too, for a moment at the start.
    until("the root's device is done", || server.log().contains("nothing is opened any more").then_some(()));
    assert_eq!(server.get("/bestuur", "").0, 200);
    until("the board's device is there", || (connections() == 1).then_some(()));
    runtime.block_on(async {
        let mut sockets = Vec::new();
        for _ in 0..3 {
            sockets.push(connect_from(wijk.port, "192.0.2.1").await.unwrap());
        }
        assert_eq!(connect_from(wijk.port, "192.0.2.1").await.err(), Some((503, "30".to_owned())));
        let (code, _) = crate::watching::ask(metrics, "/readyz", &["host: here"]);
        assert_eq!(code, 200, "who watches finds a place all the same");
        sockets.pop();
        let mut again = None;
        while again.is_none() {
            again = connect_from(wijk.port, "192.0.2.1").await.ok();
        }
    });
    assert!(server.stop().0.success());
}

#[test]
fn a_device_that_pushes_too_much_hears_when_to_come_back_loses_nothing_and_holds_up_nobody() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let server = wijk.serve_with(&[("SAMENSPRAAK_LIMITS_PUSHES_PER_MINUTE", "6")]);
    let cards = wijk.cards("resident", 2);
    let (mut eager, mut other) = (wijk.join(&cards[0]), wijk.join(&cards[1]));
    let mut written = Vec::new();
    let refused = loop {
        written.push(write(&mut eager, "Nog een", "En nog een.").0);
        assert!(written.len() < 20, "nothing bounds it");
        match runtime.block_on(eager.sync_once(&wijk.address())) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SyncError::Session(SessionError::NotNow)), "{refused:?}");
    assert!(written.len() > 4, "{}", written.len());
    // The same again by hand, for what the server says.
    runtime.block_on(async {
        let mut socket = connect_from(wijk.port, "192.0.2.1").await.unwrap();
        let hello = next_frame(&mut socket).await;
        for frame in eager.local_frame(hello).unwrap().0 {
            socket.send(Message::Binary(frame.into())).await.unwrap();
        }
        loop {
            let bytes = next_frame(&mut socket).await;
            if let Frame::Refused { code, expected_seq, .. } = Frame::decode(&bytes).unwrap() {
                let seconds = expected_seq.unwrap();
                assert!(code == RefusalCode::NotNow && (1..=10).contains(&seconds), "{code:?} {seconds}");
                let before = now();
                assert!(eager.local_frame(bytes).is_err());
                let next_try = eager.disconnected().unwrap();
                assert!(next_try.0 >= before.0 + seconds * 1000, "the phone comes back no sooner than it was asked to");
                return;
            }
            let _ = eager.local_frame(bytes);
        }
    });
    write(&mut other, "Ik ook", "Eén keer.");
    runtime.block_on(other.sync_once(&wijk.address())).unwrap();
    let arrived = |phone: &mut Driver| written.iter().filter(|subject| has_arrived(phone, **subject)).count();
    assert!(arrived(&mut eager) < written.len());
    until("the quota has room again", || {
        let _ = runtime.block_on(eager.sync_once(&wijk.address()));
        (arrived(&mut eager) == written.len()).then_some(())
    });
    let (_, text) = server.get("/metrics", "");
    assert!(text.contains("samenspraak_refusals_total{code=\"not_now\"}"), "{text}");
    assert!(server.stop().0.success());
}

#[test]
fn operations_are_counted_and_not_bytes() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let server = wijk.serve_with(&[("SAMENSPRAAK_LIMITS_OPERATIONS_PER_DAY", "70000")]);
    let cards = wijk.cards("resident", 2);
    let (mut one, mut other) = (wijk.join(&cards[0]), wijk.join(&cards[1]));
    // The same letter over and over: few bytes, and an operation each.
    let long = "a".repeat(9_000);
    let mut refused = None;
    for number in 0..12 {
        write(&mut one, &format!("{number}"), &long);
        match runtime.block_on(one.sync_once(&wijk.address())) {
            Ok(moved) => assert!(moved.bytes_up < 20_000, "{moved:?}"),
            Err(error) => refused = refused.or(Some((number, error))),
        }
    }
    let (after, error) = refused.expect("is refused");
    assert!(matches!(error, SyncError::Session(SessionError::NotNow)) && (6..9).contains(&after), "{after}: {error:?}");
    write(&mut other, "Ik ook", &long);
    runtime.block_on(other.sync_once(&wijk.address())).unwrap();
    assert!(server.stop().0.success());
}

#[test]
fn much_before_a_proof_ends_the_connection() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let server = wijk.serve();
    runtime.block_on(async {
        let mut socket = connect_from(wijk.port, "192.0.2.1").await.unwrap();
        next_frame(&mut socket).await;
        socket.send(Message::Binary(vec![0x80; 8 * 1024].into())).await.unwrap();
        loop {
            match tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("it ends") {
                Some(Ok(Message::Close(Some(why)))) => {
                    assert!(why.reason.as_str().contains("before it proved"), "{why:?}");
                    return;
                }
                Some(Ok(_)) => {}
                other => panic!("a reason, not {other:?}"),
            }
        }
    });
    assert!(server.stop().0.success());
}
