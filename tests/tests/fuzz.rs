//! Promise: no bytes make the program panic, and what it accepts reads back and reloads as the same.
//!
//! Each function of [`samenspraak_tests::fuzz`] runs for a while, from a seed. `SAMENSPRAAK_FUZZ_SECONDS` for a longer run,
//! `SAMENSPRAAK_SEED` to repeat one, `SAMENSPRAAK_FUZZ_ONLY` to name functions; a failure prints both the seed and the input.
//! libFuzzer, which sees what the program does with an input, is called by `cargo xtask fuzz`.

use std::time::Duration;

use samenspraak_tests::fuzz::Target;
use samenspraak_tests::fuzz::drive::drive;

/// Long enough for some thousand inputs of the slowest function, short enough for every run of all tests.
const SECONDS: u64 = 20;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

fn hold(name: &str) {
    let only = std::env::var("SAMENSPRAAK_FUZZ_ONLY").unwrap_or_default();
    if !only.is_empty() && only.split(',').all(|named| named != name) {
        println!("{name} is not among {only}");
        return;
    }
    let target = Target::named(name).expect("a target of this name");
    let time = Duration::from_secs(from_env("SAMENSPRAAK_FUZZ_SECONDS", SECONDS));
    match drive(target, from_env("SAMENSPRAAK_SEED", 1), time) {
        Ok(driven) => println!("{name}: {driven:?}"),
        Err(problem) => panic!("{problem}"),
    }
}

#[test]
fn any_bytes_are_a_frame_or_refused_and_a_frame_reads_back_the_same() {
    hold("frame");
}

#[test]
fn any_bytes_are_an_entry_or_refused_and_an_entry_reads_back_the_same() {
    hold("entry");
}

#[test]
fn any_change_is_folded_or_set_aside_and_hinders_no_honest_one() {
    hold("change");
}

#[test]
fn whatever_members_push_the_server_and_phones_go_on_and_agree() {
    hold("gate");
}

#[test]
fn any_records_of_who_belongs_give_the_same_members_in_any_order() {
    hold("members");
}

#[test]
fn sealed_bytes_open_to_what_was_sealed_or_not_at_all_and_their_readers_go_on() {
    hold("sealed");
}

#[test]
fn any_text_is_a_card_or_refused_and_a_card_reads_back_the_same() {
    hold("card");
}
