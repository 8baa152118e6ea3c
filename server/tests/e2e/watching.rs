//! What those who watch a server are told, and those who shouldn't are not; and that a request has the same name everywhere.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;

use samenspraak_server::client::Driver;

use crate::support::{PATIENCE, Wijk, free_port, runtime, write};

/// Asks, with these headers and no others.
pub fn ask(port: u16, path: &str, headers: &[&str]) -> (u16, String) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    write!(socket, "GET {path} HTTP/1.1\r\nconnection: close\r\n{lines}\r\n").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0), answer)
}

const HERE: &str = "host: 127.0.0.1";

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn ids(phone: &Driver) -> [String; 2] {
    let identity = phone.app().joined().unwrap().identity();
    [identity.person.to_string(), identity.key().id().to_string()]
}

#[test]
fn numbers_are_told_here_and_at_their_own_address_and_name_nobody() {
    let (wijk, runtime, metrics) = (Wijk::new(), runtime(), free_port());
    let server = wijk.serve_with(&[("SAMENSPRAAK_METRICS_LISTEN", &format!("127.0.0.1:{metrics}"))]);
    let mut phone = wijk.join(&wijk.cards("resident", 1)[0]);
    write(&mut phone, "Stoep", "De stoep ligt los.");
    runtime.block_on(phone.sync_once(&wijk.address())).unwrap();
    let (code, text) = ask(wijk.port, "/metrics", &[HERE]);
    assert_eq!(code, 200, "{text}");
    assert!(text.contains("application/openmetrics-text"));
    // A card, a join and a contribution.
    assert!(number(&text, "samenspraak_pushes_total") >= 3, "{text}");
    assert!(number(&text, "samenspraak_entries_admitted_total") >= 3, "{text}");
    assert!(number(&text, "samenspraak_flush_seconds_count") >= 2, "{text}");
    assert!(number(&text, "samenspraak_memory_bytes") > 1 << 20);
    assert!(number(&text, "samenspraak_frame_bytes_total{direction=\"out\"}") > 100);
    assert_eq!(number(&text, "samenspraak_log_items{space=\"open\"}"), 1);
    for id in ids(&phone) {
        assert!(!text.contains(&id[..8]), "{id} in {text}");
    }
    for others in [vec!["host: wijk.example"], vec![HERE, "x-forwarded-for: 192.0.2.1"], vec![HERE, "via: 1.1 x"]] {
        assert_eq!(ask(wijk.port, "/metrics", &others).0, 404, "{others:?}");
        assert_eq!(ask(wijk.port, "/status", &others).0, 404, "{others:?}");
    }
    let (code, elsewhere) = ask(metrics, "/metrics", &["host: watcher.example"]);
    assert_eq!((code, number(&elsewhere, "samenspraak_log_items{space=\"open\"}")), (200, 1));
    for path in ["/sync", "/bestuur", "/status"] {
        assert_eq!(ask(metrics, path, &[HERE]).0, 404, "{path}");
    }
    assert!(server.stop().0.success());
}

#[test]
fn a_server_that_can_not_serve_as_it_should_says_why_and_is_alive_all_the_same() {
    let wijk = Wijk::new();
    let server = wijk.serve();
    assert_eq!(ask(wijk.port, "/readyz", &["host: wijk.example"]).0, 200);
    assert!(server.stop().0.success());
    // More than the disks of machines on which this is tested have free.
    let server = wijk.serve_with(&[("SAMENSPRAAK_LIMITS_DISK_FREE_BYTES", "1_099_511_627_776")]);
    let (code, answer) = ask(wijk.port, "/readyz", &[HERE]);
    assert!(code == 503 && answer.contains("the disk is nearly full"), "{answer}");
    assert_eq!(ask(wijk.port, "/healthz", &[HERE]).0, 200);
    assert!(server.stop().0.success());
}

fn id_of(answer: &str) -> String {
    let line = answer.lines().find_map(|line| line.strip_prefix("x-request-id: "));
    line.unwrap_or_else(|| panic!("no id in {answer}")).to_owned()
}

#[test]
fn a_request_has_the_same_name_in_its_answer_and_in_every_line_of_the_log() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let variables = [("SAMENSPRAAK_LOG", "samenspraak_server=debug"), ("SAMENSPRAAK_PROXY_TRUSTED", "127.0.0.1")];
    let server = wijk.serve_with(&variables);
    let given = "x-request-id: edge-7f4c1b2e.0d0a";
    let (_, answer) = ask(wijk.port, "/bestuur/open/geheim", &["host: wijk.example", given]);
    assert_eq!(id_of(&answer), "edge-7f4c1b2e.0d0a");
    let (_, answer) = ask(wijk.port, "/healthz", &[HERE, "x-request-id: a b"]);
    assert_ne!(id_of(&answer), "a b");
    let mut phone = wijk.join(&wijk.cards("resident", 1)[0]);
    runtime.block_on(phone.sync_once(&wijk.address())).unwrap();
    let log = crate::support::until("the connection ends", || {
        Some(server.log()).filter(|log| log.contains("connection ended"))
    });
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named: Vec<&serde_json::Value> =
        lines.iter().filter(|line| line["span"]["request"] == "edge-7f4c1b2e.0d0a").collect();
    assert!(!named.is_empty() && named[0]["status"] == 403, "{log}");
    assert_eq!(named[0]["span"]["route"], "/bestuur/open/{token}");
    assert!(!log.contains("geheim"), "{log}");
    let ended = lines.iter().find(|line| line["message"] == "connection ended").unwrap();
    let id = ended["span"]["request"].as_str().unwrap();
    assert!(lines.iter().any(|line| line["span"]["request"] == id && line["status"] == 101), "{log}");
    assert!(server.stop().0.success());

    // Nobody is trusted: what a stranger calls itself is not taken over.
    let server = wijk.serve();
    assert_ne!(id_of(&ask(wijk.port, "/healthz", &[HERE, given]).1), "edge-7f4c1b2e.0d0a");
    assert!(server.stop().0.success());
}

#[test]
fn whoever_started_the_server_hears_when_it_is_ready_that_it_is_alive_and_when_it_stops() {
    let wijk = Wijk::new();
    let place = wijk.path("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut bytes = [0; 256];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    // Alive ten times a second.
    let variables = [("NOTIFY_SOCKET", place.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let server = wijk.serve_with(&variables);
    let mut said = Vec::new();
    while said.len() < 4 {
        said.push(heard());
    }
    assert!(said.iter().any(|line| line.contains("READY=1")), "{said:?}");
    assert!(said.iter().filter(|line| line.contains("WATCHDOG=1")).count() >= 2, "{said:?}");
    server.ask_to_stop();
    while !heard().contains("STOPPING=1") {}
    assert!(server.ended().0.success());
}
