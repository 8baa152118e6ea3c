//! Commands: what a person asks for becomes entries of this device, stored before anything is said or sent.

use super::entropy::Entropy;
use super::identity::{IDENTITY_KEY, SERVER_BYTES_MAX};
use super::loading::QUICK_KEY;
use super::{App, Command, CommandError, Effect, INVITE_COUNT_MAX, Identity, Joined, Reply, Then};
use crate::document::meeting::MeetingEdit;
use crate::document::{contribution, meeting};
use crate::entry::codec::{CHANGE_BYTES_MAX, DocumentChange, Record, actor, join_message, person_of, wijk_id};
use crate::entry::sign::Key;
use crate::entry::subject::subject_id;
use crate::entry::{EraseSecret, Kind, Seed, Tombstone};
use crate::gate::Verdict;
use crate::gate::body::SubjectState;
use crate::membership::card::{CardLink, CardSecret};
use crate::model::contribution::{AGENDA_ITEMS_MAX, EDIT_CHARS_MAX, TEXT_CHARS_MAX, TITLE_CHARS_MAX};
use crate::model::decision::{ABOUT_MAX, ANSWER_BYTES_MAX, PARTY_BYTES_MAX, REPLACES_MAX};
use crate::model::{
    BatchId, Choice, Content, Decision, DeviceId, Directory, Gives, Grant, Invitation, Join, Role, ServerIdentity,
    SpaceId, SubjectId, Voice, WijkId,
};
use crate::replica::{About, Admitted, Outcome};
use crate::store::{Batch, Table};

/// Entries written by one command, and what to say when they are stored.
pub(super) struct Written {
    pub(super) outcomes: Vec<Outcome>,
    /// Rows beside those of entries.
    pub(super) rows: Batch,
    pub(super) reply: Reply,
}

impl Written {
    pub(super) fn nothing(reply: Reply) -> Self {
        Self { outcomes: Vec::new(), rows: Batch::new(), reply }
    }
}

impl App {
    pub(super) fn command(
        &mut self,
        id: u64,
        entropy: [u8; 32],
        command: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<(), CommandError> {
        let mut entropy = Entropy::new(entropy);
        let begins = match &command {
            Command::Join { card } => Some(self.join(card, &mut entropy)?),
            Command::Found { directory, server, address } => {
                Some(self.found(directory.clone(), *server, address.clone(), &mut entropy)?)
            }
            _ => None,
        };
        if let Some((mut joined, reply)) = begins {
            let mut batch = joined.replica.take_rows();
            batch.put(Table::Meta, IDENTITY_KEY, joined.identity.encode());
            batch.put(Table::Meta, QUICK_KEY, [1]);
            self.commit(batch, Then::Joined { id, joined: Box::new(joined), reply }, effects);
            return Ok(());
        }
        if let Command::ErasureReport(subject) = command {
            return self.ask_erased(id, subject, effects);
        }
        let joined = self.joined.as_mut().ok_or(CommandError::NotJoined)?;
        let written = joined.write(command, &mut entropy)?;
        if written.outcomes.is_empty() && written.rows.is_empty() {
            effects.push(Effect::Reply { id, result: Ok(written.reply) });
            return Ok(());
        }
        joined.duties_due = true;
        let mut batch = joined.replica.take_rows();
        batch.append(written.rows);
        self.commit(batch, Then::Wrote { id, outcomes: written.outcomes, reply: written.reply }, effects);
        Ok(())
    }

    pub(super) fn wrote(&mut self, id: u64, outcomes: &[Outcome], reply: Reply, effects: &mut Vec<Effect>) {
        if self.joined.is_some() {
            let changed = self.show(outcomes);
            effects.push(Effect::Reply { id, result: Ok(reply) });
            if !changed.is_empty() {
                effects.push(Effect::Changed(changed));
            }
        }
        self.push_more(effects);
    }

    fn not_joined_yet(&self) -> Result<(), CommandError> {
        match &self.joined {
            Some(joined) => Err(CommandError::AlreadyJoined { wijk: joined.identity.wijk }),
            None => Ok(()),
        }
    }

    fn join(&mut self, card: &CardLink, entropy: &mut Entropy) -> Result<(Joined, Reply), CommandError> {
        self.not_joined_yet()?;
        check_address(&card.server)?;
        let mut identity = new_identity(card.wijk, card.server.clone(), entropy);
        identity.person = card.device_of.unwrap_or(identity.person);
        let mut joined = Joined::new(identity, &self.store)?;
        let (device, person) = (joined.key.id(), joined.identity.person);
        let card_key = card.secret.key(card.wijk);
        let encryption_key = joined.identity.encryption_key();
        let proof = card_key.sign(&join_message(card.wijk, device, person, &encryption_key)).0;
        let invitation = crate::model::InvitationKey::new(*card_key.id().as_bytes());
        let join = Join { invitation, person, proof, encryption_key };
        refuse_refused(&joined.create(SpaceId::Members, Kind::JOIN, &Record::Join(join), entropy)?)?;
        Ok((joined, Reply::Joined { device, person }))
    }

    fn found(
        &mut self,
        directory: Directory,
        server: DeviceId,
        address: String,
        entropy: &mut Entropy,
    ) -> Result<(Joined, Reply), CommandError> {
        self.not_joined_yet()?;
        check_address(&address)?;
        let mut identity = new_identity(WijkId::ZERO, address, entropy);
        let root = Key::from_secret(&identity.signing_secret).id();
        let seed = Seed(entropy.bytes());
        let erase_secret = EraseSecret::derive(&identity.person_secret, &seed);
        let opening = crate::entry::codec::Opening { seed, commit: erase_secret.commit() };
        let genesis = Record::Genesis(root);
        identity.wijk = wijk_id(&crate::entry::codec::encode(Some(&opening), &genesis));
        let mut joined = Joined::new(identity, &self.store)?;
        let about = About::New { seed, erase_secret };
        joined.replica.write(&joined.key, SpaceId::Members, Kind::GENESIS, about, &genesis)?;
        let server = Record::Server(ServerIdentity { key: server });
        refuse_refused(&joined.create(SpaceId::Members, Kind::SERVER, &server, entropy)?)?;
        let directory = Record::Directory(directory);
        refuse_refused(&joined.create(SpaceId::Members, Kind::DIRECTORY, &directory, entropy)?)?;
        let reply = Reply::Joined { device: root, person: joined.identity.person };
        Ok((joined, reply))
    }
}

fn new_identity(wijk: WijkId, server: String, entropy: &mut Entropy) -> Identity {
    let signing_secret = entropy.bytes();
    Identity {
        wijk,
        signing_secret,
        encryption_secret: entropy.bytes(),
        person: person_of(wijk, Key::from_secret(&signing_secret).id()),
        person_secret: entropy.bytes(),
        server,
        other_secrets: Vec::new(),
    }
}

pub(super) fn check_chars(what: &'static str, text: &str, max: usize) -> Result<(), CommandError> {
    let chars = text.chars().count();
    if (1..=max).contains(&chars) { Ok(()) } else { Err(CommandError::Length { what, chars, max }) }
}

fn check_address(address: &str) -> Result<(), CommandError> {
    if address.len() <= SERVER_BYTES_MAX {
        return Ok(());
    }
    Err(CommandError::Length { what: "address of the server", chars: address.len(), max: SERVER_BYTES_MAX })
}

/// The limits on characters keep changes below this in every script; should one be larger all the same, it is not written.
pub(super) fn check_change(change: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, CommandError> {
    match &change {
        Some(bytes) if bytes.len() > CHANGE_BYTES_MAX => {
            Err(CommandError::Length { what: "text in bytes", chars: bytes.len(), max: CHANGE_BYTES_MAX })
        }
        _ => Ok(change),
    }
}

fn may_twin(command: &Command) -> bool {
    matches!(command, Command::People(super::PeopleCommand::InviteDevice) | Command::Erase(_))
}

pub(super) fn document_error(cause: automerge::AutomergeError) -> CommandError {
    CommandError::Document { cause }
}

/// Who stands above a rank, in words for an error.
pub(super) fn above(rank: u8) -> &'static str {
    match rank {
        0 | 1 => "facilitator or board",
        2 => "administrator",
        _ => "root",
    }
}

impl Joined {
    fn write(&mut self, command: Command, entropy: &mut Entropy) -> Result<Written, CommandError> {
        match command {
            // Both begin an app, and questions write nothing; see `command`.
            Command::Join { .. } | Command::Found { .. } | Command::ErasureReport(_) => {
                Err(CommandError::AlreadyJoined { wijk: self.identity.wijk })
            }
            _ if self.revoked().is_some() => Err(CommandError::Revoked),
            // Words of a device that exists twice would fork its chain again. It can still bring its successor in, and erase.
            command if self.is_cloned() && !may_twin(&command) => Err(CommandError::Cloned),
            Command::Invite { role, count } => self.invite(role, count, entropy),
            Command::Grant { person, role, organisation } => self.grant(Grant { person, role, organisation }, entropy),
            Command::People(command) => self.people_command(command, entropy),
            Command::Poll(command) => self.poll_command(command, entropy),
            Command::Moderate(command) => self.moderate_command(command, entropy),
            Command::Contribute(content) => self.contribute(&content, None, entropy).and_then(saved),
            Command::Edit { subject, content } => self.edit(subject, &content, entropy),
            Command::Speak { question, choice } => self.speak(question, choice, entropy),
            Command::NewMeeting { title, agenda } => self.new_meeting(&title, &agenda, entropy),
            Command::EditMeeting { subject, edit } => self.edit_meeting(subject, &edit, entropy),
            Command::Decide(decision) => self.decide(decision, entropy),
            Command::Erase(subject) => match self.erase_own(subject) {
                Some(written) => written,
                None => self.erase(subject).and_then(saved),
            },
            Command::Seal { space, sealing } => self.seal(space, sealing, entropy),
            Command::WriteNote { space, text } => self.write_note(space, &text, entropy),
            Command::AnswerSealed { space, subject, answer } => self.answer_sealed(space, subject, &answer, entropy),
            Command::FoundCircle => self.found_circle(entropy),
            Command::InviteToCircle { circle, count } => self.invite_to_circle(circle, count, entropy),
            Command::JoinCircle { card } => self.join_circle(&card),
            Command::RemoveFromCircle { circle, key } => self.remove_from_circle(circle, key, entropy),
        }
    }

    /// Writes an entry that creates a subject.
    pub(super) fn create(
        &mut self,
        space: SpaceId,
        kind: Kind,
        record: &Record,
        entropy: &mut Entropy,
    ) -> Result<Admitted, CommandError> {
        let seed = Seed(entropy.bytes());
        let erase_secret = EraseSecret::derive(&self.identity.person_secret, &seed);
        let about = About::New { seed, erase_secret };
        let key = self.key_in(space);
        Ok(self.replica.write(&key, space, kind, about, record)?)
    }

    pub(super) fn has_any_role(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.replica.members().has_role(self.key.id(), *role))
    }

    pub(super) fn is_root(&self) -> bool {
        self.replica.members().root() == Some(self.key.id())
    }

    pub(super) fn needs_rank_above(&self, role: Role) -> Result<(), CommandError> {
        if self.replica.members().authority(self.key.id()) > role.rank() {
            return Ok(());
        }
        Err(CommandError::Role { needs: above(role.rank()) })
    }

    fn invite(&mut self, role: Role, count: usize, entropy: &mut Entropy) -> Result<Written, CommandError> {
        self.needs_rank_above(role)?;
        // A card can't say for whom its holder would speak.
        if role == Role::Party {
            return Err(CommandError::Organisation);
        }
        if !(1..=INVITE_COUNT_MAX).contains(&count) {
            return Err(CommandError::Range { what: "number of cards", value: count, min: 1, max: INVITE_COUNT_MAX });
        }
        self.has_cards_left(count)?;
        let (batch, gives) = (BatchId::new(entropy.bytes()), Gives::Role(role));
        let (mut outcomes, mut secrets) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let card = CardSecret::new(entropy.bytes());
            let key = card.public(self.identity.wijk);
            let record = Record::Invitation(Invitation { key, gives, batch: Some(batch) });
            outcomes.extend(self.create(SpaceId::Members, Kind::INVITATION, &record, entropy)?.entries);
            secrets.push(card);
        }
        Ok(Written { outcomes, rows: Batch::new(), reply: Reply::Cards { batch, secrets } })
    }

    fn contribute(
        &mut self,
        content: &Content,
        replaces: Option<SubjectId>,
        entropy: &mut Entropy,
    ) -> Result<Admitted, CommandError> {
        check_chars("title", &content.title, TITLE_CHARS_MAX)?;
        check_chars("text", &content.text, TEXT_CHARS_MAX)?;
        self.begin_document(Kind::CONTRIBUTION, replaces, entropy, |actor| {
            contribution::create(actor, content).map_err(document_error)
        })
    }

    /// Begins a document: its subject is known before its first change, whose actor follows from it.
    pub(super) fn begin_document(
        &mut self,
        kind: Kind,
        replaces: Option<SubjectId>,
        entropy: &mut Entropy,
        first: impl FnOnce([u8; 16]) -> Result<Option<Vec<u8>>, CommandError>,
    ) -> Result<Admitted, CommandError> {
        let seed = Seed(entropy.bytes());
        let erase_secret = EraseSecret::derive(&self.identity.person_secret, &seed);
        let (wijk, device) = (self.identity.wijk, self.key.id());
        let subject = subject_id(wijk, SpaceId::Open, device, kind, &seed.nonce(), &erase_secret.commit());
        let session = entropy.bytes();
        let change = check_change(first(actor(device, subject, &session))?)?.unwrap_or_default();
        self.sessions.insert(subject, session);
        let record = Record::Change(DocumentChange { session, change, replaces });
        let about = About::New { seed, erase_secret };
        Ok(self.replica.write(&self.key, SpaceId::Open, kind, about, &record)?)
    }

    /// Writes a change of a document that exists.
    fn change_document(
        &mut self,
        kind: Kind,
        subject: SubjectId,
        entropy: &mut Entropy,
        edit: impl FnOnce(&automerge::Automerge, [u8; 16]) -> Result<Option<Vec<u8>>, CommandError>,
    ) -> Result<Option<Admitted>, CommandError> {
        let fresh = entropy.bytes();
        let session = *self.sessions.entry(subject).or_insert(fresh);
        let actor = actor(self.key.id(), subject, &session);
        let what = if kind == Kind::MEETING { "meeting" } else { "contribution" };
        let doc = self.document(subject)?.ok_or(CommandError::Unknown { what, subject })?;
        let Some(change) = check_change(edit(doc, actor)?)? else { return Ok(None) };
        let record = Record::Change(DocumentChange { session, change, replaces: None });
        Ok(Some(self.replica.write(&self.key, SpaceId::Open, kind, About::Existing(subject), &record)?))
    }

    fn edit(&mut self, subject: SubjectId, content: &Content, entropy: &mut Entropy) -> Result<Written, CommandError> {
        check_chars("title", &content.title, TITLE_CHARS_MAX)?;
        check_chars("text", &content.text, TEXT_CHARS_MAX)?;
        let unknown = CommandError::Unknown { what: "contribution", subject };
        let facts = match self.view().document(subject) {
            Some((Kind::CONTRIBUTION, facts)) => facts,
            _ => return Err(unknown),
        };
        if facts.person != self.identity.person {
            return Err(CommandError::NotOwn { subject });
        }
        let old = contribution::read(self.document(subject)?.ok_or(unknown)?);
        if contribution::takes_words_away(&old, content) {
            let mut written = self.contribute(content, Some(subject), entropy)?;
            written.entries.extend(self.erase(subject)?.entries);
            return saved(written);
        }
        let edited = self.change_document(Kind::CONTRIBUTION, subject, entropy, |doc, actor| {
            contribution::edit(doc, actor, content).map_err(document_error)
        })?;
        saved_or_unchanged(edited, subject)
    }

    fn speak(&mut self, question: SubjectId, choice: Choice, entropy: &mut Entropy) -> Result<Written, CommandError> {
        self.needs_question(question)?;
        let before = self.view().voice_of(question, self.identity.person);
        if before.is_some_and(|voice| voice.choice == choice) {
            return Ok(Written::nothing(Reply::Unchanged { subject: question }));
        }
        let counter = before.map_or(1, |voice| voice.counter.saturating_add(1));
        let record = Record::Voice(Voice { question, choice, counter, replaces: before.map(|voice| voice.id) });
        let written = match before {
            Some(voice) => {
                let about = About::Existing(voice.subject);
                self.replica.write(&self.key, SpaceId::Open, Kind::VOICE, about, &record)?
            }
            None => self.create(SpaceId::Open, Kind::VOICE, &record, entropy)?,
        };
        saved(written)
    }

    fn new_meeting(&mut self, title: &str, agenda: &[String], entropy: &mut Entropy) -> Result<Written, CommandError> {
        if !self.has_any_role(&[Role::Facilitator, Role::Board, Role::Administrator]) {
            return Err(CommandError::Role { needs: "facilitator or board" });
        }
        check_chars("title", title, TITLE_CHARS_MAX)?;
        for item in agenda {
            check_chars("title of an agenda item", item, TITLE_CHARS_MAX)?;
        }
        if agenda.len() > AGENDA_ITEMS_MAX {
            let (value, max) = (agenda.len(), AGENDA_ITEMS_MAX);
            return Err(CommandError::Range { what: "agenda items", value, min: 0, max });
        }
        let made = self.begin_document(Kind::MEETING, None, entropy, |actor| {
            meeting::create(actor, title, agenda).map_err(document_error)
        })?;
        saved(made)
    }

    fn edit_meeting(
        &mut self,
        subject: SubjectId,
        edit: &MeetingEdit,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        if !self.has_any_role(&[Role::Facilitator, Role::Board, Role::Administrator]) {
            return Err(CommandError::Role { needs: "facilitator or board" });
        }
        if !matches!(self.view().document(subject), Some((Kind::MEETING, _))) {
            return Err(CommandError::Unknown { what: "meeting", subject });
        }
        self.needs_newest(subject)?;
        match edit {
            MeetingEdit::AddItem { title } => check_chars("title of an agenda item", title, TITLE_CHARS_MAX)?,
            MeetingEdit::Splice { splice, .. } if !splice.insert.is_empty() => {
                check_chars("notes written at once", &splice.insert, EDIT_CHARS_MAX)?;
            }
            MeetingEdit::Splice { .. } => {}
        }
        let edited =
            self.change_document(Kind::MEETING, subject, entropy, |doc, actor| Ok(meeting::edit(doc, actor, edit)?))?;
        saved_or_unchanged(edited, subject)
    }

    fn decide(&mut self, decision: Decision, entropy: &mut Entropy) -> Result<Written, CommandError> {
        if !self.has_any_role(&[Role::Board]) {
            return Err(CommandError::Role { needs: "board" });
        }
        let count = decision.about.len();
        if !(1..=ABOUT_MAX).contains(&count) {
            let (what, max) = ("contributions in a decision", ABOUT_MAX);
            return Err(CommandError::Range { what, value: count, min: 1, max });
        }
        for (what, text) in [("reason", &decision.reason), ("answer", &decision.answer)] {
            if text.is_empty() || text.len() > ANSWER_BYTES_MAX {
                return Err(CommandError::Length { what, chars: text.chars().count(), max: ANSWER_BYTES_MAX });
            }
        }
        // Beyond these nobody could read the entry, and its author would see it vanish.
        if decision.party.len() > PARTY_BYTES_MAX {
            let (what, chars) = ("name of the party", decision.party.chars().count());
            return Err(CommandError::Length { what, chars, max: PARTY_BYTES_MAX });
        }
        if decision.replaces.len() > REPLACES_MAX {
            let (what, value) = ("replaced decisions", decision.replaces.len());
            return Err(CommandError::Range { what, value, min: 0, max: REPLACES_MAX });
        }
        for subject in &decision.about {
            if !matches!(self.view().document(*subject), Some((Kind::CONTRIBUTION, _))) {
                return Err(CommandError::Unknown { what: "contribution", subject: *subject });
            }
        }
        saved(self.create(SpaceId::Open, Kind::DECISION, &Record::Decision(decision), entropy)?)
    }

    fn erase(&mut self, subject: SubjectId) -> Result<Admitted, CommandError> {
        let unknown = CommandError::Unknown { what: "own input", subject };
        let others = |space: &SpaceId| space.is_closed() || *space == SpaceId::Ballot;
        for space in self.replica.spaces().into_iter().filter(others) {
            if let Some(erased) = self.erase_in(space, subject)? {
                return Ok(erased);
            }
        }
        let row = self.replica.subject(SpaceId::Open, subject)?;
        let Some(row) = row.filter(|row| row.state != SubjectState::Erased) else { return Err(unknown) };
        if row.owner != Some(self.identity.person) {
            return Err(CommandError::NotOwn { subject });
        }
        let (Some((seed, commit)), Some((device, _))) = (row.opening, row.creator) else { return Err(unknown) };
        let Some(erase_secret) = self.identity.erase_secret(&seed, &commit) else {
            return Err(CommandError::OtherDevice { subject });
        };
        let tombstone = Tombstone::Owner { subject, device, kind: row.kind, nonce: seed.nonce(), erase_secret };
        let about = About::Existing(subject);
        let record = Record::Tombstone(tombstone);
        Ok(self.replica.write(&self.key, SpaceId::Open, Kind::TOMBSTONE, about, &record)?)
    }
}

pub(super) fn saved(admitted: Admitted) -> Result<Written, CommandError> {
    refuse_refused(&admitted)?;
    let first = admitted.entries.first().map(|outcome| (outcome.subject, outcome.id));
    let (subject, id) = first.ok_or(CommandError::NotJoined)?;
    let outcomes = admitted.entries.into_iter().chain(admitted.woken).collect();
    Ok(Written { outcomes, rows: Batch::new(), reply: Reply::Saved { subject, id } })
}

/// An entry that our own gate refuses is not written: its author is told at once.
fn refuse_refused(admitted: &Admitted) -> Result<(), CommandError> {
    match admitted.entries.iter().find_map(|outcome| match outcome.verdict {
        Verdict::Refused(reason) => Some(reason),
        _ => None,
    }) {
        Some(reason) => Err(CommandError::Refused { reason }),
        None => Ok(()),
    }
}

pub(super) fn saved_or_unchanged(admitted: Option<Admitted>, subject: SubjectId) -> Result<Written, CommandError> {
    match admitted {
        Some(admitted) => saved(admitted),
        None => Ok(Written::nothing(Reply::Unchanged { subject })),
    }
}
