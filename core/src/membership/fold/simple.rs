//! The short way for what is added most often: cards and joins, one by one, without folding everything anew.
//!
//! It must give exactly what the whole fold gives; `core/tests/members_fold.rs` compares them. So it is taken only where
//! nothing that is known speaks of what comes in.

use super::{Folded, INVITATIONS_PER_DEVICE_MAX, Mention, Statement, Statements};
use crate::entry::codec::Record;
use crate::model::*;

impl Folded {
    /// Takes one more statement without folding everything anew, where that gives the same: a card nobody has spoken of, or
    /// a join that nothing is waiting for. Returns whether it could.
    pub fn take_simple(&mut self, statements: &Statements, statement: &Statement) -> bool {
        match &*statement.record {
            Record::Invitation(Invitation { key, gives: Gives::Role(role), batch }) => {
                let authority = self.authority_at(statement.device, statement.seq);
                let is_spoken_of = self.cards.contains_key(key)
                    || self.mentioned.contains(&Mention::Card(*key))
                    || self.mentioned.contains(&Mention::Device(statement.device));
                // Below administrators cards are counted along the chain: only the next one has its number already.
                let limited = authority < Role::Administrator.authority();
                let is_next = self.made.get(&statement.device).is_none_or(|(made, last)| {
                    !limited || (statement.seq > *last && *made < INVITATIONS_PER_DEVICE_MAX)
                });
                let takes = authority > role.rank() && is_next && !is_spoken_of;
                if takes {
                    self.add_card(statement, authority, *key, Gives::Role(*role), *batch);
                }
                takes
            }
            Record::Join(join) => {
                let is_spoken_of = self.mentioned.contains(&Mention::Device(statement.device))
                    || self.mentioned.contains(&Mention::Person(join.person))
                    || self.roles.contains_key(&join.person)
                    || self.joined.contains_key(&join.invitation)
                    || self.settled.contains_key(&join.invitation);
                let role_card =
                    self.cards.get(&join.invitation).is_some_and(|card| matches!(card.gives, Gives::Role(_)));
                !is_spoken_of && role_card && self.take_join(statements, statement, join)
            }
            _ => false,
        }
    }

    /// Notes what statements speak of that don't count, or whose meaning depends on who joined.
    pub(super) fn mention(&mut self, statements: &Statements) {
        for statement in statements.values() {
            let counts = self.counts.contains(&statement.id);
            match &*statement.record {
                // Who is known by name still waits for what the card gives.
                Record::Join(join) if !counts || !self.is_in_with(join.invitation, statement.device) => {
                    self.mentioned.insert(Mention::Card(join.invitation));
                    self.mentioned.insert(Mention::Device(statement.device));
                    self.mentioned.insert(Mention::Person(join.person));
                }
                Record::Revocation(revocation) => {
                    match revocation.target {
                        RevocationTarget::Device(device) => drop(self.mentioned.insert(Mention::Device(device))),
                        RevocationTarget::Person(person) => drop(self.mentioned.insert(Mention::Person(person))),
                        RevocationTarget::Grant(_) | RevocationTarget::Revocation(_) => {}
                    }
                    if !counts {
                        self.mentioned.insert(Mention::Device(statement.device));
                    }
                }
                Record::Cut(cut) => {
                    self.mentioned.insert(Mention::Device(cut.end.device));
                }
                _ if !counts => drop(self.mentioned.insert(Mention::Device(statement.device))),
                _ => {}
            }
        }
    }
}
