//! Promise: every cell of *kind × who × phase* is decided, and the gate decides as the table says.
//!
//! *Who* is everybody the wijk knows: a stranger, each role, the root and the server. *Phase* is read twofold. A subject's life:
//! somebody creates it, writes on about an own one or about somebody else's, brings its erase secret, or wants it erased as
//! staff. And an author's standing in time: before the role was granted, and after a cut ended the author's chain.
//!
//! The table (`rule_table/table.rs`) is written out by hand from the design's section 5. A kind without a row or a row without a
//! cell doesn't compile. What the gate says is asked of really signed entries (`rule_table/scene.rs`).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use samenspraak_core::entry::Kind;
use samenspraak_core::gate::Verdict;
use samenspraak_core::gate::rules::{Erasable, RULES};

#[path = "rule_table/cast.rs"]
mod cast;
#[path = "rule_table/scene.rs"]
mod scene;
#[path = "rule_table/table.rs"]
mod table;
#[path = "common/wijk.rs"]
mod wijk;
use scene::Scene;
use table::{Cell, Phase, What, Who, row};

/// What the gate says of an entry that was offered.
fn cell(offered: Option<Verdict>) -> Cell {
    match offered {
        None => Cell::NoPlace,
        Some(Verdict::Present) => Cell::Counts,
        Some(Verdict::Pending) => Cell::Waits,
        Some(Verdict::Refused(_) | Verdict::Erased) => Cell::Refused,
    }
}

#[test]
fn every_kind_has_its_row_and_every_row_its_kind() {
    let kinds: Vec<Kind> = What::ALL.iter().map(|what| what.kind()).collect();
    assert_eq!(kinds, Kind::ALL, "in order of their numbers");
    for what in What::ALL {
        // Who can create must say what happens when an own one is followed, and nobody else can.
        let row = row(what);
        for who in Who::ALL {
            let creates = row.of(Phase::Creates, who) == Cell::Counts;
            assert_eq!(row.of(Phase::FollowsOwn, who) != Cell::Nothing, creates, "{what:?} {who:?}");
        }
    }
}

fn check(phase: Phase) {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for what in What::ALL {
        for who in Who::ALL {
            let expected = row(what).of(phase, who);
            if expected == Cell::Nothing {
                continue;
            }
            asked += 1;
            let found = cell(Scene::new().ask(what, who, phase));
            if found != expected {
                wrong.push(format!("{what:?} {who:?} {phase:?}: {found:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked} cells:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked >= 20, "{asked} cells were asked");
}

#[test]
fn whoever_creates_is_judged_as_the_table_says() {
    check(Phase::Creates);
}

#[test]
fn whoever_writes_on_about_an_own_subject_is_judged_as_the_table_says() {
    check(Phase::FollowsOwn);
}

#[test]
fn whoever_writes_on_about_somebody_else_s_subject_is_judged_as_the_table_says() {
    check(Phase::FollowsOthers);
}

#[test]
fn whoever_brings_an_erase_secret_is_judged_as_the_table_says() {
    check(Phase::ErasesWithSecret);
}

#[test]
fn whoever_wants_something_erased_as_staff_is_judged_as_the_table_says() {
    check(Phase::ErasesAsStaff);
}

#[test]
fn whoever_writes_before_the_role_is_granted_waits_for_it() {
    check(Phase::BeforeGranted);
    for what in What::ALL {
        for who in Who::ALL.into_iter().filter(|who| who.is_granted()) {
            let row = row(what);
            if row.of(Phase::BeforeGranted, who) == Cell::Waits {
                let after = cell(Scene::new().ask_and_grant(what, who));
                assert_eq!(after, row.of(Phase::Creates, who), "{what:?} {who:?} once the role is there");
            }
        }
    }
}

#[test]
fn whoever_writes_after_a_cut_waits_for_readmission() {
    check(Phase::AfterCut);
}

#[test]
fn the_rules_say_of_erasing_what_the_table_says() {
    for (what, rule) in What::ALL.into_iter().zip(RULES) {
        let by_anybody = |phase| Who::ALL.into_iter().any(|who| row(what).of(phase, who) == Cell::Counts);
        let expected = match (by_anybody(Phase::ErasesWithSecret), by_anybody(Phase::ErasesAsStaff)) {
            (true, true) => Erasable::Owner,
            (false, true) => Erasable::Staff,
            (false, false) => Erasable::Never,
            (true, false) => panic!("{what:?}: what an owner can erase, staff can"),
        };
        assert_eq!(rule.erasable, expected, "{what:?}");
    }
}
