//! What JavaScript can call, and what it is called for: one object, and the worker's shell around it.
//!
//! What is told crosses as JSON in bytes, which a worker hands on to its page without a copy; what is asked as CBOR (`ask`). The
//! shell is called while an input is handled and must only note what it is told: calling back into the core from there is refused
//! by wasm-bindgen.

use samenspraak::{SyncState, WijkError, asks};
use samenspraak_core::app::Timestamp;
use samenspraak_core::store::StoreError;
use samenspraak_core::sync::wire::Frame;
use samenspraak_driver::sync_url;
use wasm_bindgen::prelude::*;

use crate::ask::{Ask, Look, json};
use crate::machine::{Input, Machine, Out};
use crate::rows::PLACE;

#[wasm_bindgen(typescript_custom_section)]
const SHELL: &str = r"
/** What the worker does for the core. It is called while the core handles something, and must not call the core then. */
export interface Shell {
  /** A record for the transaction that `write` begins. */
  journal(number: number, bytes: Uint8Array): void;
  page(number: number, bytes: Uint8Array): void;
  forgetPage(number: number): void;
  /** Writes those records and the head in one transaction, and forgets journal records before `journalFirst`. */
  write(head: Uint8Array, journalFirst: number): void;
  connect(line: number, url: string): void;
  send(line: number, frame: Uint8Array): void;
  hangUp(line: number): void;
  /** Answers a request: JSON, of a `WijkError` when it isn't well. */
  answer(request: number, well: boolean, json: Uint8Array): void;
  /** JSON of a list of ids. */
  changed(json: Uint8Array): void;
  /** JSON of a `SyncState`. */
  state(json: Uint8Array): void;
  wakeAt(ms: number): void;
}
";

#[wasm_bindgen]
extern "C" {
    /// See its declaration in TypeScript.
    #[wasm_bindgen(typescript_type = "Shell")]
    pub type Shell;

    #[wasm_bindgen(method)]
    fn journal(this: &Shell, number: f64, bytes: Vec<u8>);
    #[wasm_bindgen(method)]
    fn page(this: &Shell, number: f64, bytes: Vec<u8>);
    #[wasm_bindgen(method, js_name = forgetPage)]
    fn forget_page(this: &Shell, number: f64);
    #[wasm_bindgen(method)]
    fn write(this: &Shell, head: Vec<u8>, journal_first: f64);
    #[wasm_bindgen(method)]
    fn connect(this: &Shell, line: u32, url: &str);
    #[wasm_bindgen(method)]
    fn send(this: &Shell, line: u32, frame: Vec<u8>);
    #[wasm_bindgen(method, js_name = hangUp)]
    fn hang_up(this: &Shell, line: u32);
    #[wasm_bindgen(method)]
    fn answer(this: &Shell, request: u32, well: bool, json: Vec<u8>);
    #[wasm_bindgen(method)]
    fn changed(this: &Shell, json: Vec<u8>);
    #[wasm_bindgen(method)]
    fn state(this: &Shell, json: Vec<u8>);
    #[wasm_bindgen(method, js_name = wakeAt)]
    fn wake_at(this: &Shell, ms: f64);
}

/// A time of JavaScript's clock.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "milliseconds since 1970 are far below 2^53"
)]
fn at(ms: f64) -> Timestamp {
    Timestamp(ms.max(0.0) as u64)
}

/// A number of records or milliseconds as JavaScript has numbers.
#[expect(clippy::cast_precision_loss, reason = "numbers of records and milliseconds are far below 2^53")]
fn number(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers that this program gave out")]
fn record(number: f64) -> u64 {
    number.max(0.0) as u64
}

/// An error as JSON. An error that can't be written down is told as none that can be helped.
fn error_json(error: &WijkError) -> Vec<u8> {
    json(error).unwrap_or_else(|_| br#"{"kind":"unexpected","detail":"an error without words"}"#.to_vec())
}

fn thrown(error: &WijkError) -> JsValue {
    JsValue::from_str(&String::from_utf8_lossy(&error_json(error)))
}

/// What the browser keeps, handed over record by record before the core is opened.
#[wasm_bindgen]
#[derive(Default)]
pub struct Kept {
    head: Option<Vec<u8>>,
    pages: Vec<(u64, Vec<u8>)>,
    journal: Vec<(u64, Vec<u8>)>,
}

#[wasm_bindgen]
impl Kept {
    /// Nothing yet.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The head.
    pub fn head(&mut self, bytes: Vec<u8>) {
        self.head = Some(bytes);
    }

    /// A page.
    pub fn page(&mut self, number: f64, bytes: Vec<u8>) {
        self.pages.push((record(number), bytes));
    }

    /// A journal record; they come in order.
    pub fn journal(&mut self, number: f64, bytes: Vec<u8>) {
        self.journal.push((record(number), bytes));
    }
}

/// The core of one device.
#[wasm_bindgen]
pub struct Core {
    machine: Machine,
    shell: Shell,
}

#[wasm_bindgen]
impl Core {
    /// Opens what was kept. Throws a `WijkError` in JSON when it can't be read; nothing was changed then.
    ///
    /// # Errors
    /// See above.
    #[wasm_bindgen(constructor)]
    pub fn new(shell: Shell, kept: Kept, now: f64) -> Result<Core, JsValue> {
        let opened = Machine::open(at(now), kept.head.as_deref(), kept.pages, &kept.journal);
        let machine = opened.map_err(|error| thrown(&error))?;
        Ok(Self { machine, shell })
    }

    /// How this device and its server are: a `SyncState` in JSON.
    #[must_use]
    pub fn state(&self) -> Vec<u8> {
        state_json(self.machine.state())
    }

    /// A command: an `Ask` in CBOR, with 32 random bytes.
    pub fn ask(&mut self, now: f64, request: u32, entropy: &[u8], ask: &[u8]) {
        let entropy: Result<[u8; 32], _> = entropy.try_into();
        match (Ask::read(ask), entropy) {
            (Ok(ask), Ok(entropy)) => self.handle(now, Input::Ask { request, entropy, ask }),
            (Err(error), _) => self.shell.answer(request, false, error_json(&error)),
            (_, Err(_)) => self.shell.answer(request, false, error_json(&WijkError::invalid("32 random bytes"))),
        }
    }

    /// A look: a `Look` in CBOR.
    pub fn look(&mut self, now: f64, request: u32, look: &[u8]) {
        match Look::read(look) {
            Ok(look) => self.handle(now, Input::Look { request, look }),
            Err(error) => self.shell.answer(request, false, error_json(&error)),
        }
    }

    /// Sync now, and answer when it is done.
    #[wasm_bindgen(js_name = catchUp)]
    pub fn catch_up(&mut self, now: f64, request: u32) {
        self.handle(now, Input::CatchUp { request });
    }

    /// Whether there is a network.
    pub fn network(&mut self, now: f64, is_there: bool) {
        self.handle(now, Input::Network(is_there));
    }

    /// A socket opened.
    pub fn opened(&mut self, now: f64, line: u32) {
        self.handle(now, Input::Opened { line });
    }

    /// A message came.
    pub fn frame(&mut self, now: f64, line: u32, bytes: Vec<u8>) {
        self.handle(now, Input::Frame { line, bytes });
    }

    /// A socket closed or never opened.
    pub fn closed(&mut self, now: f64, line: u32, reason: String) {
        self.handle(now, Input::Closed { line, reason });
    }

    /// What came over a socket isn't handed on: it ends, and nothing is tried before `until`.
    pub fn rest(&mut self, now: f64, line: u32, reason: String, until: f64) {
        self.handle(now, Input::Rest { line, reason, until: at(until) });
    }

    /// What was to be written is durable.
    pub fn written(&mut self, now: f64) {
        self.handle(now, Input::Written(Ok(())));
    }

    /// Nothing of what was to be written is there. `full`: there is no room.
    #[wasm_bindgen(js_name = notWritten)]
    pub fn not_written(&mut self, now: f64, full: bool, reason: String) {
        let place = PLACE.to_owned();
        let error = match full {
            true => StoreError::Full { place },
            false => StoreError::Io { place, source: std::io::Error::other(reason) },
        };
        self.handle(now, Input::Written(Err(error)));
    }

    /// The time that was asked for has come.
    pub fn tick(&mut self, now: f64) {
        self.handle(now, Input::Tick);
    }

    /// Panics, for tests of what happens then. A page can end its own worker in many ways; this is one more.
    ///
    /// # Panics
    /// Always.
    pub fn trap(&self) {
        panic!("a panic that was asked for");
    }

    fn handle(&mut self, now: f64, input: Input) {
        for out in self.machine.handle(at(now), input) {
            self.perform(out);
        }
    }

    fn perform(&self, out: Out) {
        let shell = &self.shell;
        match out {
            Out::Write(write) => {
                if let Some((at, bytes)) = write.journal {
                    shell.journal(number(at), bytes);
                }
                for (at, bytes) in write.pages {
                    shell.page(number(at), bytes);
                }
                for at in write.gone {
                    shell.forget_page(number(at));
                }
                shell.write(write.head, number(write.journal_first));
            }
            Out::Connect { line, url } => shell.connect(line, &url),
            Out::Send { line, frame } => shell.send(line, frame),
            Out::Close { line } => shell.hang_up(line),
            Out::Answer { request, result } => match result {
                Ok(json) => shell.answer(request, true, json),
                Err(error) => shell.answer(request, false, error_json(&error)),
            },
            Out::Changed(ids) => shell.changed(json(&ids).unwrap_or_else(|_| b"[]".to_vec())),
            Out::State(state) => shell.state(state_json(&state)),
            Out::WakeAt(at) => shell.wake_at(number(at.0)),
        }
    }
}

fn state_json(state: &SyncState) -> Vec<u8> {
    json(state).unwrap_or_else(|_| br#"{"kind":"syncing"}"#.to_vec())
}

/// The link of a card's letters. Throws a `WijkError` in JSON.
///
/// # Errors
/// When they are no card's.
#[wasm_bindgen(js_name = cardLink)]
pub fn card_link(letters: &str, wijk: &str, server: String) -> Result<String, JsValue> {
    asks::card_link(letters, wijk, server).map_err(|error| thrown(&error))
}

/// Whether a link is a card. Throws a `WijkError` in JSON.
///
/// # Errors
/// When it is none.
#[wasm_bindgen(js_name = checkCard)]
pub fn check_card(link: &str) -> Result<(), JsValue> {
    asks::card(link).map(drop).map_err(|error| thrown(&error))
}

/// Where the sync of a server is found. Throws a `WijkError` in JSON.
///
/// # Errors
/// When the address is none.
#[wasm_bindgen(js_name = syncUrl)]
pub fn url_of(address: &str) -> Result<String, JsValue> {
    sync_url(address).map_err(|error| thrown(&error.into()))
}

/// The wijk that a server's first message names. Throws a `WijkError` in JSON.
///
/// # Errors
/// When it is no such message.
#[wasm_bindgen(js_name = wijkOf)]
pub fn wijk_of(first: &[u8]) -> Result<String, JsValue> {
    match Frame::decode(first) {
        Ok(Frame::Hello { wijk, .. }) => Ok(wijk.to_string()),
        _ => Err(thrown(&WijkError::Untrusted { detail: "the server says something else first".into() })),
    }
}
