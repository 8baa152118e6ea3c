//! A wijk made by the program, a server and phones as processes, and how tests wait for them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use samenspraak_core::app::{Command as Ask, OwnState, Reply};
use samenspraak_core::membership::card::CardLink;
use samenspraak_core::model::{Content, EntryId, SpaceId, SubjectId};
use samenspraak_core::store::disk::DiskStore;
use samenspraak_core::store::{MemoryStore, Store, Table, keys};
use samenspraak_server::client::Driver;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Longer than anything here takes on a slow machine that is busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How many kills the kill tests do.
pub fn kills() -> usize {
    std::env::var("SAMENSPRAAK_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(100)
}

/// Lets time pass. Never to wait for something: that is [`until`].
pub fn pause(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// Polls until there is an answer.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        pause(Duration::from_millis(3));
    }
}

/// Repeatable randomness (SplitMix64).
pub struct Seeded(pub u64);

impl Seeded {
    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }

    /// A time below `limit`.
    pub fn time(&mut self, limit: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(limit.as_micros()).unwrap()))
    }
}

/// A port that is free, outside the range from which systems take ports for connections: otherwise a phone that knocks
/// while the server is down may get its own port as an answer.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 500).unwrap() * 24;
    loop {
        let port = 20_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The output of a run that went well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The one line of a run that didn't, without log lines.
    #[track_caller]
    pub fn refused(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        let said: Vec<&str> = self.err.lines().filter(|line| !line.starts_with('{')).collect();
        match said.as_slice() {
            [line] if line.starts_with("samenspraak: ") => line,
            _ => panic!("one line is expected, not {self:?}"),
        }
    }
}

/// The program with these arguments.
pub fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samenspraak"));
    command.args(args).stdin(Stdio::null()).env_remove("SAMENSPRAAK_LOG").env_remove("SAMENSPRAAK_LISTEN");
    command
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Ran {
    let mut child = program(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, err) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            // Not left behind: it may hold a folder that is taken away now.
            child.kill().unwrap();
            panic!("this doesn't end: {args:?}");
        }
        pause(Duration::from_millis(2));
    };
    Ran { code: status.code(), out: out.join().unwrap(), err: err.join().unwrap() }
}

fn collect(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A wijk in a temporary folder.
pub struct Wijk {
    dir: TempDir,
    pub port: u16,
}

impl Wijk {
    /// Made by the program.
    pub fn new() -> Self {
        let made = Self { dir: tempfile::tempdir().unwrap(), port: free_port() };
        made.found(&made.folder()).ok();
        made
    }

    /// Makes a wijk somewhere.
    pub fn found(&self, folder: &Path) -> Ran {
        let place = ["--name", "De Lindehoek", "--municipality", "Waterlo", "--code", "WK999901", "--year", "2025"];
        let address = self.address();
        run(&[&["wijk", "new", arg(folder)], place.as_slice(), &["--address", &address]].concat())
    }

    /// A place beside the wijk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its data folder.
    pub fn folder(&self) -> PathBuf {
        self.path("wijk")
    }

    /// Where it is served.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Cards, by the program.
    pub fn cards(&self, role: &str, count: usize) -> Vec<String> {
        let out = run(&["invite", arg(&self.folder()), "--plain", "--role", role, "--count", &count.to_string()]).ok();
        let cards: Vec<String> = out.lines().map(str::to_owned).collect();
        assert_eq!(cards.len(), count, "{out}");
        cards
    }

    /// The terminal phone with its folder beside the wijk.
    pub fn phone(&self, name: &str, args: &[&str]) -> Ran {
        run(&[&["phone", "--data", arg(&self.path(name))], args].concat())
    }

    /// A phone in this process that has joined, offline.
    pub fn join(&self, card: &str) -> Driver {
        let mut phone = Driver::open(Arc::new(MemoryStore::new())).unwrap();
        phone.command(Ask::Join { card: CardLink::parse(card).unwrap() }).unwrap();
        phone
    }

    /// Starts its server.
    pub fn serve(&self) -> Serve {
        self.serve_with(&[])
    }

    /// The same, with variables set.
    pub fn serve_with(&self, variables: &[(&str, &str)]) -> Serve {
        Serve::start(&self.folder(), self.port, &self.path("serve.log"), variables)
    }

    /// Checks that the server's store holds these entries with a number in its log, and that nothing is damaged.
    #[track_caller]
    pub fn assert_holds(&self, entries: &[EntryId], when: &str) {
        let (store, found) = DiskStore::open_read_only(&self.folder().join("server")).unwrap();
        assert!(found.damage.is_empty(), "{when}: {found:?}");
        let epoch = samenspraak_server::folder::Folder::open(&self.folder()).unwrap().keys().unwrap().epoch;
        let lost: Vec<&EntryId> = entries.iter().filter(|id| !is_numbered(&store, &epoch, **id)).collect();
        assert!(lost.is_empty(), "{when}: {} of {} acknowledged entries are lost: {lost:?}", lost.len(), entries.len());
    }
}

fn is_numbered(store: &dyn Store, epoch: &[u8; 16], id: EntryId) -> bool {
    let prefix = keys::numbers_of(SpaceId::Open, epoch, id);
    let numbers = store.scan(Table::Log, &prefix, Some(&keys::after(&prefix)), 2).unwrap();
    numbers.len() == 1 && store.get(Table::EntryId, id.as_bytes()).unwrap().is_some()
}

/// A running server. Killed when dropped, also by a panic.
pub struct Serve {
    child: Child,
    said: Receiver<String>,
    log: PathBuf,
    port: u16,
    /// What it printed before it was ready.
    pub begun: Vec<String>,
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serve {
    /// Starts a server and waits until all of it can be used.
    pub fn start(folder: &Path, port: u16, log: &Path, variables: &[(&str, &str)]) -> Self {
        let mut server = Self::begin(folder, port, log, variables);
        server.wait_for("board page");
        server
    }

    /// Starts a server, and waits for nothing.
    pub fn begin(folder: &Path, port: u16, log: &Path, variables: &[(&str, &str)]) -> Self {
        let errors = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = program(&["serve", arg(folder), "--listen", &format!("127.0.0.1:{port}")]);
        let mut child = command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let (out, (say, said)) = (child.stdout.take().unwrap(), channel());
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).all(|line| say.send(line).is_ok())
        });
        Self { child, said, log: log.to_owned(), port, begun: Vec::new() }
    }

    /// Waits until it says this on its terminal.
    pub fn wait_for(&mut self, words: &str) {
        while !self.begun.iter().any(|line| line.contains(words)) {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) => self.begun.push(line),
                Err(_) => panic!("the server doesn't say {words:?}: {:?} {}", self.begun, self.log()),
            }
        }
    }

    /// Whether it said this by now.
    pub fn has_said(&mut self, words: &str) -> bool {
        self.begun.extend(self.said.try_iter());
        self.begun.iter().any(|line| line.contains(words))
    }

    /// Kills it, without warning.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and says how it ended and after how long.
    pub fn stop(self) -> (ExitStatus, Duration) {
        self.ask_to_stop();
        self.ended()
    }

    /// Asks it once more, or not if it has ended.
    pub fn stop_again(mut self) -> (ExitStatus, Duration) {
        if self.child.try_wait().unwrap().is_none() {
            self.ask_to_stop();
        }
        self.ended()
    }

    /// Waits until it has ended, after it was asked to.
    pub fn ended(mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        let status = until("the server stops", || self.child.try_wait().unwrap());
        (status, begun.elapsed())
    }

    /// Asks it to stop.
    pub fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Everything that servers of this wijk logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Memory it uses.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Asks for a page; gives its status and all that came.
    pub fn get(&self, path: &str, headers: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0), answer)
    }

    /// One of the administrator's counters.
    pub fn counter(&self, name: &str) -> u64 {
        let (code, answer) = self.get("/status", "");
        assert_eq!(code, 200, "{answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let counters: serde_json::Value = serde_json::from_str(body).unwrap();
        counters[name].as_u64().unwrap_or_else(|| panic!("no {name} in {body}"))
    }
}

/// Threads for phones in this process.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A long text that can't be compressed much.
pub fn long_text(random: &mut Seeded) -> String {
    (0..9000).map(|_| char::from(b'!' + u8::try_from(random.below(90)).unwrap())).collect()
}

/// A contribution.
pub fn words(title: &str, text: &str) -> Content {
    Content { title: title.into(), text: text.into(), theme: 1, buurt: String::new() }
}

/// Writes on a phone of this process.
pub fn write(phone: &mut Driver, title: &str, text: &str) -> (SubjectId, EntryId) {
    match phone.command(Ask::Contribute(words(title, text))).unwrap() {
        Reply::Saved { subject, id } => (subject, id),
        other => panic!("saved, not {other:?}"),
    }
}

/// How far own words got, as a screen would say.
pub fn own_state(phone: &mut Driver, subject: SubjectId) -> Option<OwnState> {
    phone.app_mut().joined_mut().unwrap().line(subject).unwrap().and_then(|line| line.item.own)
}

/// Whether a screen says *aangekomen*.
pub fn has_arrived(phone: &mut Driver, subject: SubjectId) -> bool {
    matches!(own_state(phone, subject), Some(OwnState::Arrived { .. }))
}
