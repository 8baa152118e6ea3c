//! The board's page, spoken to over a socket: the real program serves the demo wijk, a resident's phone in the terminal
//! writes, and the board answers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_samenspraak");
const FORM: &str = "application/x-www-form-urlencoded";

/// A demo wijk, served; it ends with the test.
struct Served {
    folder: tempfile::TempDir,
    program: Child,
    /// Without `http://`.
    address: String,
    /// Path of the one-time link.
    link: String,
    card: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Runs the program to its end and gives what it printed.
fn run(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wijk = folder.path().join("wijk");
        run(&["demo", text(&wijk)]);
        let mut program = Command::new(PROGRAM)
            .args(["serve", text(&wijk), "--listen", "127.0.0.1:0", "--show-card"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut link, mut card) = (String::new(), String::new());
        for line in BufReader::new(program.stdout.take().unwrap()).lines().map(Result::unwrap) {
            if let Some(found) = line.split(' ').find(|word| word.contains("/bestuur/open/")) {
                link = found.to_owned();
            }
            if line.contains("/kaart#") {
                card = line;
                break;
            }
        }
        let (address, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
        Self { address: address.to_owned(), link: format!("/{path}"), folder, program, card }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let host = if headers.iter().any(|(name, _)| *name == "Host") { None } else { Some(("Host", &*self.address)) };
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers.iter().copied().chain(host) {
            request += &format!("{name}: {value}\r\n");
        }
        socket.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    /// The same, as soon as the board's device has heard of what the page must show.
    fn get_with(&self, path: &str, expected: &str) -> String {
        let begun = Instant::now();
        loop {
            let body = self.get(path).body;
            if body.contains(expected) {
                return body;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{expected} on {path}: {body}");
        }
    }

    /// Sends a form as a browser does from a page of the server.
    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.address);
        self.ask("POST", path, &[("Content-Type", FORM), ("Origin", &origin)], &encode(fields))
    }

    fn documents_opened(&self) -> u64 {
        let status = self.get("/status").body;
        let count = status.split_once("\"documents_opened\":").unwrap().1;
        count.split([',', '}']).next().unwrap().parse().unwrap()
    }

    /// A resident's phone that has joined.
    fn phone(&self) -> PathBuf {
        let data = self.folder.path().join("phone");
        run(&["phone", "--data", text(&data), "join", &self.card]);
        data
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn encode(fields: &[(&str, &str)]) -> String {
    let value = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    fields.iter().map(|(name, text)| format!("{name}={}", value(text))).collect::<Vec<_>>().join("&")
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let rest = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap().1;
    rest.split('"').next().unwrap().to_owned()
}

/// Where the link leads whose title begins so.
fn path_of(page: &str, title: &str) -> String {
    let before = page.split_once(&format!("<bdi>{title}")).unwrap_or_else(|| panic!("{title} on the page")).0;
    before.rsplit_once("href=\"").unwrap().1.split('"').next().unwrap().to_owned()
}

#[test]
fn the_printed_link_opens_the_page_once_and_elsewhere_nothing_opens_without_it() {
    let served = Served::start();
    for path in ["/bestuur", "/bestuur/bijeenkomsten", "/bestuur/live", "/bestuur/inbreng/00", "/status"] {
        for (name, value) in [("Host", "wijk.example"), ("Host", "127.0.0.1.wijk.example"), ("X-Forwarded-For", "::1")]
        {
            let status = served.ask("GET", path, &[(name, value)], "").status;
            assert_eq!(status, if path == "/status" { 404 } else { 403 }, "{path} {name} {value}");
        }
    }
    let elsewhere = ("Host", "wijk.example");
    assert_eq!(served.ask("HEAD", &served.link, &[elsewhere], "").status, 403);
    assert_eq!(served.ask("GET", &format!("{}0", served.link), &[elsewhere], "").status, 403);
    let opened = served.ask("GET", &served.link, &[elsewhere], "");
    assert_eq!(opened.status, 303, "{}", opened.head);
    assert_eq!(served.ask("GET", &served.link, &[elsewhere], "").status, 403, "a second time");
    let cookie = opened.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let page = served.ask("GET", "/bestuur", &[elsewhere, ("Cookie", cookie)], "");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-security-policy: default-src 'none';"), "{}", page.head);
    assert!(page.head.contains("cache-control: no-store") && page.head.contains("x-content-type-options: nosniff"));
}

#[test]
fn the_server_opens_no_document_before_a_page_does() {
    let served = Served::start();
    let phone = served.phone();
    run(&["phone", "--data", text(&phone), "write", "--title", "Stoep", "--text", "De stoep is stuk."]);
    run(&["phone", "--data", text(&phone), "sync"]);
    assert_eq!(served.documents_opened(), 0);
    assert_eq!(served.get("/bestuur/assets/board.css").status, 200);
    assert_eq!(served.documents_opened(), 0);
    served.get_with("/bestuur", "<bdi>Stoep</bdi>");
    assert!(served.documents_opened() > 0);
}

#[test]
fn a_decision_on_the_page_reaches_the_phone_and_nobody_else_can_make_one() {
    let served = Served::start();
    let data = served.phone();
    let phone = |arguments: &[&str]| run(&[&["phone", "--data", text(&data)], arguments].concat());
    let odd = "<img src=x onerror=alert(2)> & \u{202e}om";
    let id = phone(&["write", "--title", "<script>alert(1)</script>", "--text", odd]);
    let id = id.split_whitespace().next().unwrap();
    phone(&["sync"]);
    let path = format!("/bestuur/inbreng/{id}");
    let page = served.get_with(&path, "&lt;script&gt;");
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");

    let secret = hidden(&page, "secret");
    let typed =
        [("secret", &*secret), ("seen", ""), ("outcome", "ja"), ("answer", "<b>We</b> komen."), ("reason", "Omdat.")];
    let own = format!("http://{}", served.address);
    let refused: [&[(&str, &str)]; 5] = [
        &[],
        &[("Origin", "http://wijk.example")],
        &[("Origin", "null")],
        &[("Origin", &own), ("Sec-Fetch-Site", "cross-site")],
        &[("Origin", &own), ("X-Forwarded-For", "::1")],
    ];
    for headers in refused {
        let headers = [headers, &[("Content-Type", FORM)]].concat();
        assert_eq!(served.ask("POST", &path, &headers, &encode(&typed)).status, 403, "{headers:?}");
    }
    for wrong in ["", "0000", &secret[1..]] {
        let answer = served.post(&path, &[&[("secret", wrong)], &typed[1..]].concat());
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains("&lt;b&gt;We&lt;/b&gt; komen."), "what was typed stays");
    }
    let answer = served.post(&path, &[&typed[..4], &[("reason", " "), ("due", "morgen")]].concat());
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("id=\"reason-problem\"") && answer.body.contains("id=\"due-problem\""));
    assert!(answer.body.contains("&lt;b&gt;We&lt;/b&gt; komen.") && answer.body.contains("value=\"morgen\""));
    assert!(!served.get(&path).body.contains("class=\"decision\""), "nothing was decided yet");

    let saved = served.post(&path, &typed);
    assert_eq!(saved.status, 303, "{}", saved.body);
    let place = saved.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let page = served.get_with(place, "Bewaard, en aangekomen op");
    assert!(page.contains("&lt;b&gt;We&lt;/b&gt; komen.") && !page.contains("<b>We</b>"));
    phone(&["sync"]);
    assert!(phone(&["show", id]).contains("antwoord: <b>We</b> komen."));

    // Sent twice is once; a page from before the decision replaces nothing that its reader didn't see.
    assert_eq!(served.post(&path, &typed).status, 303);
    let other = [&typed[..2], &[("outcome", "nee"), ("answer", "Toch niet."), ("reason", "Te duur.")]].concat();
    assert_eq!(served.post(&path, &other).status, 409);
    let seen = hidden(&served.get(&path).body, "seen");
    assert_eq!(seen.len(), 64);
    assert_eq!(served.post(&path, &[&other[..1], &[("seen", &*seen)], &other[2..]].concat()).status, 303);
    let page = served.get(&path).body;
    assert!(page.contains("Toch niet.") && !page.contains("We&lt;/b&gt; komen.") && !page.contains("Nog niet eens"));
}

#[test]
fn decisions_that_do_not_agree_stand_both_on_the_page_and_what_is_not_there_says_so_in_dutch() {
    let served = Served::start();
    let queue = served.get("/bestuur?stand=oneens").body;
    let path = path_of(&queue, "Licht bij het veldje");
    let page = served.get(&path).body;
    assert_eq!(page.matches("class=\"decision\"").count(), 2);
    assert!(page.contains("Nog niet eens") && hidden(&page, "seen").len() == 64 + 1 + 64);
    let meetings = served.get("/bestuur/bijeenkomsten").body;
    let notes = served.get(&path_of(&meetings, "Wijkavond De Lindehoek: wonen")).body;
    assert!(notes.contains("Schimmel en kou in huis"));
    for path in ["/bestuur/nergens", "/bestuur/inbreng/xyz", &format!("/bestuur/inbreng/{}", "0".repeat(32))] {
        let answer = served.get(path);
        assert_eq!(answer.status, 404);
        assert!(answer.body.contains("<html lang=\"nl\">"), "{path}");
    }
    let too_large = served.post(&path, &[("answer", &"x".repeat(30_000))]);
    assert!(too_large.status == 400 && too_large.body.contains("<html lang=\"nl\">"), "{}", too_large.head);
}

#[cfg(unix)]
#[test]
fn an_open_page_hears_of_news_and_does_not_keep_the_server_from_stopping() {
    let mut served = Served::start();
    let phone = served.phone();
    let mut page = TcpStream::connect(&served.address).unwrap();
    page.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(page, "GET /bestuur/live HTTP/1.1\r\nHost: {}\r\n\r\n", served.address).unwrap();
    let mut lines = BufReader::new(page).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "content-type: text/event-stream"));
    run(&["phone", "--data", text(&phone), "write", "--title", "Stoep", "--text", "De stoep is stuk."]);
    run(&["phone", "--data", text(&phone), "sync"]);
    assert!(lines.any(|line| line.starts_with("data:")));
    let begun = Instant::now();
    assert!(Command::new("kill").arg(served.program.id().to_string()).status().unwrap().success());
    assert!(served.program.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_millis(2900), "{:?}", begun.elapsed());
}
