//! The rule table: who may write what, where, and whether it can be erased. It reads like the design's (section 5).

use crate::entry::Kind;
use crate::model::{Role, SpaceId};

/// Who may write an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// The root key only.
    Root,
    /// The root, or a person of a strictly higher rank than the role that is given.
    ByRank,
    /// A device that shows a card.
    Card,
    /// The root, or persons with one of these roles.
    Roles(&'static [Role]),
    /// Any member.
    Members,
    /// The person who created the subject.
    Owner,
    /// Whoever can prove it, in the body itself.
    Proof,
    /// Nobody.
    Nobody,
}

/// How the body is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A fact in one entry.
    Record,
    /// A change of an automerge document.
    Document,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What.
    pub kind: Kind,
    /// Where; `None` is everywhere.
    pub space: Option<SpaceId>,
    /// How it is folded.
    pub form: Form,
    /// Who may create a subject of this kind.
    pub creates: Writers,
    /// Who may write on about it.
    pub follows: Writers,
    /// Whether the holder of the erase secret can erase it.
    pub erasable: bool,
}

const STAFF: Writers = Writers::Roles(&[Role::Facilitator, Role::Board, Role::Administrator]);

const fn rule(kind: Kind, space: SpaceId, form: Form, creates: Writers, follows: Writers, erasable: bool) -> Rule {
    Rule { kind, space: Some(space), form, creates, follows, erasable }
}

/// All rules. A kind without a row is one of a newer app.
#[rustfmt::skip]
pub const RULES: [Rule; 11] = [
    //   kind                space             form            creates            follows            erasable
    rule(Kind::GENESIS,      SpaceId::Members, Form::Record,   Writers::Root,     Writers::Nobody,   false),
    rule(Kind::GRANT,        SpaceId::Members, Form::Record,   Writers::ByRank,   Writers::Nobody,   false),
    rule(Kind::INVITATION,   SpaceId::Members, Form::Record,   Writers::ByRank,   Writers::Nobody,   false),
    rule(Kind::JOIN,         SpaceId::Members, Form::Record,   Writers::Card,     Writers::Nobody,   false),
    rule(Kind::SERVER,       SpaceId::Members, Form::Record,   Writers::Root,     Writers::Nobody,   false),
    rule(Kind::DIRECTORY,    SpaceId::Members, Form::Record,   Writers::Roles(&[Role::Administrator]),
                                                                                  Writers::Nobody,   false),
    rule(Kind::CONTRIBUTION, SpaceId::Open,    Form::Document, Writers::Members,  Writers::Owner,    true),
    rule(Kind::MEETING,      SpaceId::Open,    Form::Document, STAFF,             STAFF,             false),
    rule(Kind::VOICE,        SpaceId::Open,    Form::Record,   Writers::Members,  Writers::Owner,    true),
    rule(Kind::DECISION,     SpaceId::Open,    Form::Record,   Writers::Roles(&[Role::Board]),
                                                                                  Writers::Nobody,   false),
    Rule { kind: Kind::TOMBSTONE, space: None, form: Form::Record,
           creates: Writers::Nobody, follows: Writers::Proof, erasable: false },
];

/// The rule of a kind.
#[must_use]
pub fn of(kind: Kind) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_with_a_name_has_exactly_one_rule() {
        for number in 0..100 {
            let rules = RULES.iter().filter(|rule| rule.kind == Kind(number)).count();
            assert_eq!(rules, usize::from(Kind(number).name().is_some()), "{:?}", Kind(number));
        }
    }

    #[test]
    fn what_a_person_owns_can_be_erased_and_what_the_wijk_decided_cannot() {
        for kind in [Kind::CONTRIBUTION, Kind::VOICE] {
            assert!(of(kind).is_some_and(|rule| rule.erasable), "{kind:?}");
        }
        for kind in [Kind::DECISION, Kind::GENESIS, Kind::JOIN, Kind::MEETING] {
            assert!(of(kind).is_some_and(|rule| !rule.erasable), "{kind:?}");
        }
    }
}
