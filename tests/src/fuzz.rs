//! Fuzz functions: each takes any bytes, does with them what a peer can make this program do, and panics when a promise is
//! broken: no panic of another library escapes, and what is accepted reads back and reloads as the same.
//!
//! One library for both drivers: `core/fuzz` gives the functions to libFuzzer, which sees coverage; `tests/tests/fuzz.rs`
//! calls them on any toolchain ([`drive`]). An input that broke something becomes a fixture in `tests/tests/fuzz/`, which
//! every run of all tests repeats. Nothing here may depend on the time, on randomness or on the order of calls: the same
//! bytes must break the same thing on every machine.

mod card;
mod change;
mod choices;
pub mod drive;
mod entry;
mod frame;
mod gate;
#[path = "../../core/tests/common/hostile.rs"]
mod hostile;
mod members;
mod sealed;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// How far an input got: where it was refused and why, or what it was taken for. Two inputs with the same ends tell the
/// same, so a driver without coverage keeps one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends(BTreeSet<(&'static str, u64)>);

impl Ends {
    /// Notes that this place was reached; `number` tells cases of it apart.
    fn reach(&mut self, place: &'static str, number: u64) {
        self.0.insert((place, number));
    }

    /// Whether a place was reached, in any case of it.
    #[must_use]
    pub fn reached(&self, place: &str) -> bool {
        self.0.iter().any(|(reached, _)| *reached == place)
    }
}

/// One fuzz function.
pub struct Target {
    /// Its name: of the libFuzzer target, the test, and the folder with fixtures.
    pub name: &'static str,
    /// Takes any bytes.
    run: fn(&[u8], &mut Ends),
    /// Inputs that an honest program makes. The first inputs of every run.
    seeds: fn() -> Vec<Vec<u8>>,
    /// The place that each of the seeds must reach: a function that takes nothing for true finds nothing.
    accepts: &'static str,
}

/// All of them.
pub const ALL: [&Target; 7] =
    [&frame::TARGET, &entry::TARGET, &change::TARGET, &gate::TARGET, &members::TARGET, &sealed::TARGET, &card::TARGET];

impl Target {
    /// The target with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|target| target.name == name)
    }

    /// Inputs that an honest program makes.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        (self.seeds)()
    }

    /// Gives one input to the function.
    ///
    /// # Errors
    /// The panic that escaped, in words.
    pub fn run(&self, input: &[u8]) -> Result<Ends, String> {
        keep_panics();
        let mut ends = Ends::default();
        INPUT.set(input.to_vec());
        QUIET.set(true);
        let escaped = catch_unwind(AssertUnwindSafe(|| (self.run)(input, &mut ends)));
        QUIET.set(false);
        escaped.map(|()| ends).map_err(|_| LAST.with_borrow(Clone::clone))
    }

    /// Gives the function what an honest program makes.
    ///
    /// # Errors
    /// When it panics, or doesn't take it for what it is.
    pub fn accepts(&self, seed: &[u8]) -> Result<(), String> {
        let ends = self.run(seed)?;
        if ends.reached(self.accepts) { Ok(()) } else { Err(format!("not {:?} but {ends:?}", self.accepts)) }
    }
}

/// For libFuzzer: ends the process when a panic escapes, after saying which one.
///
/// # Panics
/// When no target has this name.
#[expect(clippy::print_stderr, reason = "libFuzzer shows it beside the input")]
pub fn run_or_abort(name: &str, input: &[u8]) {
    let target = Target::named(name).expect("a target of this name");
    if let Err(problem) = target.run(input) {
        eprintln!("{name}: {problem}\nAs a line of a fixture: {}", hex(input));
        std::process::abort();
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What Rust says when it can't unwind.
const UNCATCHABLE: [&str; 2] = ["in a destructor during cleanup", "in a function that cannot unwind"];

/// Panics of automerge are caught by the gate, by the thousand; printing them takes longer than all the rest. So panics on
/// a thread that runs an input are kept, and only one that escapes is shown. libFuzzer's own hook would end the process at
/// the first.
#[expect(clippy::print_stderr, reason = "the last words of a process that ends")]
fn keep_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
            if !QUIET.get() {
                return loud(panic);
            }
            LAST.set(panic.to_string());
            // A panic in a destructor while another one unwinds: the process ends here, and nobody could say why.
            if UNCATCHABLE.iter().any(|words| LAST.with_borrow(|last| last.contains(words))) {
                loud(panic);
                eprintln!("the input was {}", INPUT.with_borrow(|input| hex(input)));
            }
        }));
    });
}
