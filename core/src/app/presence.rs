//! How many look at the same thing at this moment: numbers, never who, and nothing of it is stored.
//!
//! What a person looks at is said only to a server that has proven itself, and again on each new connection. Without a
//! connection nothing is known, which is another thing than nobody.

use super::{App, Effect};
use crate::model::SubjectId;
use crate::ordered::Set;
use crate::sync::wire::Frame;

/// Others who look at the same thing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// How many other devices look at it.
    pub others: u64,
    /// How many of them write.
    pub writing: u64,
}

/// What a person at this device looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Attended {
    subject: Option<SubjectId>,
    writes: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Presence {
    attended: Attended,
    /// What the server was told on this connection.
    said: Attended,
    heard: Option<Present>,
}

impl Presence {
    /// A new connection, on which nothing was said.
    pub(super) fn begin(&mut self) {
        self.said = Attended::default();
    }

    /// The connection is gone; returns what reads differently.
    pub(super) fn lost(&mut self) -> Option<SubjectId> {
        self.begin();
        self.heard.take().and(self.attended.subject)
    }
}

impl App {
    /// Others who look at this now, as far as the server says; nothing without a connection, or when this device doesn't look.
    #[must_use]
    pub fn present(&self, subject: SubjectId) -> Option<Present> {
        self.presence.heard.filter(|_| self.presence.attended.subject == Some(subject))
    }

    pub(super) fn attend(&mut self, subject: Option<SubjectId>, writes: bool, effects: &mut Vec<Effect>) {
        let attended = Attended { subject, writes: writes && subject.is_some() };
        if attended.subject != self.presence.attended.subject {
            self.presence.heard = None;
        }
        self.presence.attended = attended;
        self.say_presence(effects);
    }

    pub(super) fn say_presence(&mut self, effects: &mut Vec<Effect>) {
        let Some(joined) = &self.joined else { return };
        let is_proven = joined.session.as_ref().is_some_and(|session| session.is_proven(&joined.replica));
        let presence = &mut self.presence;
        if is_proven && presence.attended != presence.said {
            presence.said = presence.attended;
            let Attended { subject, writes } = presence.said;
            effects.push(Effect::Send(Frame::Attend { subject, writes }.encode()));
        }
    }

    pub(super) fn attending(
        &mut self,
        subject: Option<SubjectId>,
        present: u64,
        writing: u64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(subject) = subject else { return };
        let presence = &mut self.presence;
        // An answer about what this person has left may still be on its way.
        if presence.said.subject != Some(subject) || presence.attended.subject != Some(subject) {
            return;
        }
        let own = u64::from(presence.said.writes);
        let heard = Present { others: present.saturating_sub(1), writing: writing.saturating_sub(own) };
        if presence.heard.replace(heard) != Some(heard) {
            effects.push(Effect::Changed(Set::from([subject])));
        }
    }
}
