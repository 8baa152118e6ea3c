//! Rulings and erasures by staff, in the words of the message file.

use samenspraak_core::app::moderate::{Hidden, RulingItem};
use samenspraak_core::model::Measure;

use super::print::one_line;
use crate::messages;

/// What was ruled, in words, with its day when there is one.
#[must_use]
pub(crate) fn ruled(item: &RulingItem) -> String {
    match (item.facts.ruling.measure, item.day) {
        (Measure::Hide, Some(day)) => messages::with("ruling-hide-on", &[("day", messages::day(day).into())]),
        (Measure::Hide, None) => messages::text("ruling-hide"),
        (Measure::Keep, Some(day)) => messages::with("ruling-keep-on", &[("day", messages::day(day).into())]),
        (Measure::Keep, None) => messages::text("ruling-keep"),
    }
}

/// That an administrator signed for an erasure.
#[must_use]
pub(crate) fn erasure_signed(day: Option<u32>) -> String {
    match day {
        Some(day) => messages::with("erasure-signed-on", &[("day", messages::day(day).into())]),
        None => messages::text("erasure-signed"),
    }
}

/// The ground of a ruling or an erasure.
#[must_use]
pub(crate) fn ground(ground: &str) -> String {
    messages::with("ruling-ground", &[("ground", one_line(ground).into())])
}

/// Prints a ruling; whom it hides words of, as `hidden` says, reads how to appeal.
pub(super) fn print_ruling(item: &RulingItem, hidden: Option<&Hidden>) {
    let ruling = &item.facts.ruling;
    println!("- {}", ruled(item));
    println!("  {}", ground(&ruling.ground));
    println!("  {}", messages::with("phone-reason", &[("reason", one_line(&ruling.reason).into())]));
    if hidden.is_some_and(|hidden| matches!(hidden, Hidden::Ruling(now) if now.facts.id == item.facts.id)) {
        println!("  {}", messages::with("ruling-appeal", &[("ruling", item.facts.id.to_string().into())]));
    }
}
