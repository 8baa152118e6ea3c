//! Numbers that stand in signed entries, logs and files. They are written out here, so that reordering a list is noticed.

use samenspraak_core::entry::Kind;
use samenspraak_core::gate::{Reason, Verdict};
use samenspraak_core::model::{Choice, Outcome, Role};
use samenspraak_core::store::Table;
use samenspraak_core::sync::wire::RefusalCode;

#[test]
fn verdicts_keep_their_numbers() {
    let refused = Verdict::Refused;
    let numbers = [
        (Verdict::Present, 0),
        (Verdict::Pending, 1),
        (Verdict::Erased, 2),
        (refused(Reason::Form), 16),
        (refused(Reason::Space), 17),
        (refused(Reason::Final), 18),
        (refused(Reason::Owner), 19),
        (refused(Reason::Rank), 20),
        (refused(Reason::NotErasable), 21),
        (refused(Reason::FalseTombstone), 22),
        (refused(Reason::SubjectTaken), 23),
        (refused(Reason::SubjectRefused), 24),
        (refused(Reason::OtherGenesis), 25),
        (refused(Reason::FalseCard), 26),
        (refused(Reason::NewerKind), 27),
        (refused(Reason::Actor), 28),
        (refused(Reason::Sequence), 29),
        (refused(Reason::StartOp), 30),
        (refused(Reason::TooManyOps), 31),
        (refused(Reason::CardUsed), 32),
        (refused(Reason::Change(0)), 256),
        (refused(Reason::Change(31)), 287),
    ];
    for (verdict, number) in numbers {
        assert_eq!(verdict.number(), number, "{verdict:?}");
        assert_eq!(Verdict::from_number(number), verdict);
    }
}

#[test]
fn kinds_keep_their_numbers() {
    let numbers = [
        (Kind::GENESIS, 1),
        (Kind::GRANT, 2),
        (Kind::INVITATION, 5),
        (Kind::JOIN, 6),
        (Kind::SERVER, 7),
        (Kind::TOMBSTONE, 9),
        (Kind::DIRECTORY, 10),
        (Kind::CONTRIBUTION, 20),
        (Kind::MEETING, 21),
        (Kind::VOICE, 22),
        (Kind::DECISION, 23),
    ];
    for (kind, number) in numbers {
        assert_eq!(kind, Kind(number));
    }
}

#[test]
fn roles_choices_outcomes_refusals_and_tables_keep_their_numbers() {
    let roles = [Role::Resident, Role::Facilitator, Role::Board, Role::Administrator];
    assert_eq!(roles.map(Role::number), [1, 2, 3, 4]);
    let choices = [Choice::Support, Choice::Withdrawn, Choice::Agree, Choice::Disagree, Choice::Pass];
    assert_eq!(choices.map(Choice::number), [1, 2, 3, 4, 5]);
    let outcomes = [Outcome::Yes, Outcome::No, Outcome::Partly, Outcome::Later];
    assert_eq!(outcomes.map(Outcome::number), [1, 2, 3, 4]);
    let refusals = [
        RefusalCode::Form,
        RefusalCode::Signature,
        RefusalCode::Gap,
        RefusalCode::Fork,
        RefusalCode::NotMember,
        RefusalCode::CardUsed,
        RefusalCode::CardUnknown,
        RefusalCode::UnknownSubject,
        RefusalCode::OtherBody,
        RefusalCode::NotNow,
        RefusalCode::NotReadable,
    ];
    assert_eq!(refusals.map(RefusalCode::number), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let tables = [
        (Table::Entry, 1),
        (Table::EntryId, 2),
        (Table::Log, 3),
        (Table::Subject, 4),
        (Table::Change, 5),
        (Table::Pending, 6),
        (Table::Meta, 7),
        (Table::Receipt, 8),
    ];
    for (table, number) in tables {
        assert_eq!(Table::from_number(number), Some(table));
    }
}
