//! The short form of `cargo xtask torture`: some of each, with seeds that do not change.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use samenspraak_tests::torture::{Amount, Tally, run};

#[test]
fn kills_power_cuts_and_damage_lose_nothing_acknowledged_and_are_all_reported() {
    let program = Path::new(env!("CARGO_BIN_EXE_torture"));
    let amount = Amount { kills: 12, cuts: 40, damages: 40, seed: 1 };
    let tally = run(amount, program, |_| {});
    let expected = Tally { kills: 12, cuts: 40, damages: 40, rebuilds: tally.rebuilds, ..Tally::default() };
    assert_eq!(tally, expected, "{tally}");
    assert!(tally.rebuilds > 40, "{tally}");
}
