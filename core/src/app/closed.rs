//! Closed spaces on a phone: what a person seals, reads and answers there.
//!
//! Sealed input is kept with its words in the author's own store and goes through the drop ([`super::own`]); what members of a
//! space write to each other is sealed by themselves. The keys come with [`super::duties`].

use super::entropy::Entropy;
use super::own::{OwnSealed, Stage, sealed_body};
use super::write::{Written, check_chars, saved};
use super::{CommandError, INVITE_COUNT_MAX, Joined, OwnState, Reply, Sealing};
use crate::entry::codec::{self, Record, circle_id, enrolment_message};
use crate::entry::{EraseSecret, Kind, Seed, Tombstone};
use crate::gate::body::SubjectState;
use crate::membership::card::CardSecret;
use crate::membership::circle::CircleLink;
use crate::model::closed::NOTICE_CHARS_MAX;
use crate::model::contribution::{TEXT_CHARS_MAX, TITLE_CHARS_MAX};
use crate::model::*;
use crate::replica::{About, Admitted, Kept, ReplicaError};
use crate::seal::{self, Context, ReceiptSecret, SealPublic, SealSecret, WrapContext};
use crate::store::erased::{self, Erasure};
use crate::store::{Batch, Table};

/// Something sealed, as a member of its space sees it.
#[derive(Clone, Debug)]
pub struct SealedItem {
    /// Its id.
    pub subject: SubjectId,
    /// Where it is.
    pub space: SpaceId,
    /// Day the server received it: for drops the day of their batch.
    pub day: Option<u32>,
    /// What it says; `None` when this device has no key to it (yet).
    pub words: Option<SealedWords>,
    /// How many answers were given.
    pub answers: usize,
}

/// An answer to sealed input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerItem {
    /// The entry.
    pub id: EntryId,
    /// The board member who answered.
    pub person: Option<PersonId>,
    /// Day the server received it.
    pub day: Option<u32>,
    /// What it says.
    pub answer: String,
}

/// Own sealed input.
#[derive(Clone, Debug)]
pub struct OwnSealedItem {
    /// Its id.
    pub subject: SubjectId,
    /// Where it went.
    pub space: SpaceId,
    /// What it says; `None` once it is erased.
    pub words: Option<SealedWords>,
    /// How far it got.
    pub state: OwnState,
    /// Whether it was taken back, and whether the server knows.
    pub stage: Stage,
    /// With which answers are found on any phone.
    pub receipt: ReceiptSecret,
    /// What was answered.
    pub answers: Vec<AnswerItem>,
}

impl Joined {
    /// The key this device writes with in a space.
    #[must_use]
    pub fn key_in(&self, space: SpaceId) -> crate::entry::sign::Key {
        self.key.in_space(self.identity.wijk, space)
    }

    /// The key to seal to in a space: of several generations that nobody merged yet the one with the lowest id.
    #[must_use]
    pub fn seals_to(&self, space: SpaceId) -> Option<SealPublic> {
        let tips = self.replica.members().generations(space);
        tips.into_iter().map(|generation| SealPublic::new(generation.public)).min_by_key(SealPublic::generation)
    }

    /// The private half of a generation, if it was wrapped to this device.
    pub(super) fn generation_secret(&self, space: SpaceId, generation: GenerationId) -> Option<SealSecret> {
        let key = self.key_in(space);
        let closed = self.replica.members().closed(space)?;
        let wrapped = closed.wraps.get(&generation)?.get(&key.id())?;
        let context = WrapContext { wijk: self.identity.wijk, space, generation, device: key.id() };
        seal::unwrap_generation(&key.seal_secret(), &context, wrapped).ok()
    }

    pub(super) fn seal(
        &mut self,
        space: SpaceId,
        sealing: Sealing,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        if !matches!(space, SpaceId::Inbox | SpaceId::Circle(_)) {
            return Err(CommandError::NotSealable { space });
        }
        if self.is_root() {
            return Err(CommandError::Role { needs: "resident" });
        }
        let receipt = ReceiptSecret::new(entropy.bytes());
        let reply = Some(*receipt.key(self.identity.wijk).public().as_bytes());
        let words = match sealing {
            Sealing::Story(content) => {
                check_chars("title", &content.title, TITLE_CHARS_MAX)?;
                check_chars("text", &content.text, TEXT_CHARS_MAX)?;
                SealedWords::Story { content, reply }
            }
            Sealing::Notice { about, text } => {
                check_chars("notice", &text, NOTICE_CHARS_MAX)?;
                SealedWords::Notice { about, text, reply }
            }
            Sealing::Appeal { ruling, text } => {
                check_chars("appeal", &text, NOTICE_CHARS_MAX)?;
                SealedWords::Appeal { ruling, text, reply }
            }
        };
        fits(&words)?;
        let seed = Seed(entropy.bytes());
        let erase_secret = EraseSecret::derive(&self.identity.person_secret, &seed);
        let own = OwnSealed {
            space,
            words: Some(words),
            receipt: receipt.clone(),
            seed,
            erase_secret,
            entropy: entropy.bytes(),
            body: None,
            stage: Stage::Saved,
        };
        let subject = own.subject(self.identity.wijk);
        let rows = self.keep_own(subject, own);
        Ok(Written { outcomes: Vec::new(), rows, reply: Reply::Sealed { subject, receipt } })
    }

    /// Keeps own sealed input in memory, and returns the row that must be stored with it.
    pub(super) fn keep_own(&mut self, subject: SubjectId, own: OwnSealed) -> Batch {
        let mut rows = Batch::new();
        rows.put(Table::Own, subject.as_bytes().as_slice(), own.encode());
        self.own.insert(subject, own);
        rows
    }

    /// Takes own sealed input back: its words go at once; the server is told with the next sync.
    pub(super) fn erase_own(&mut self, subject: SubjectId) -> Option<Result<Written, CommandError>> {
        let mut own = self.own.get(&subject)?.clone();
        if matches!(own.stage, Stage::Erasing | Stage::Erased) {
            return Some(Ok(Written::nothing(Reply::Unchanged { subject })));
        }
        // What was never sealed was never sent.
        let left = own.body.is_some();
        own.words = None;
        own.body = None;
        own.stage = if left { Stage::Erasing } else { Stage::Erased };
        self.opened.remove(&subject);
        let erasure = Erasure { space: own.space, subject, kind: Kind::DROPPED, device: DeviceId::ZERO };
        let mut rows = self.keep_own(subject, own);
        let store = self.replica.store();
        let noted = erased::note(&erasure, |key| store.get(Table::Meta, key));
        let noted = match noted.map_err(ReplicaError::from) {
            Ok(noted) => noted,
            Err(error) => return Some(Err(error.into())),
        };
        for (key, value) in noted {
            rows.put(Table::Meta, key, value);
        }
        Some(Ok(Written { outcomes: Vec::new(), rows, reply: Reply::Erased { subject } }))
    }

    /// Writes a note that only members of the space can open.
    pub(super) fn write_note(
        &mut self,
        space: SpaceId,
        text: &str,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        check_chars("note", text, NOTICE_CHARS_MAX)?;
        self.write_sealed(space, &SealedWords::Note { text: text.to_owned() }, entropy).and_then(saved)
    }

    pub(super) fn write_sealed(
        &mut self,
        space: SpaceId,
        words: &SealedWords,
        entropy: &mut Entropy,
    ) -> Result<Admitted, CommandError> {
        let (wijk, key) = (self.identity.wijk, self.key_in(space));
        let enrolled = self.replica.members().device_behind(space, key.id()) == Some(self.key.id());
        let to = self.seals_to(space).filter(|_| enrolled && space.is_closed() && space != SpaceId::Inbox);
        let to = to.ok_or(CommandError::NoKey { space })?;
        let seed = Seed(entropy.bytes());
        let erase_secret = EraseSecret::derive(&self.identity.person_secret, &seed);
        let body = sealed_body(wijk, space, Kind::SEALED, (seed, &erase_secret), &to, words, entropy.bytes());
        let body = body.map_err(|cause| CommandError::Seal { cause })?;
        Ok(self.replica.write_body(&key, space, Kind::SEALED, body)?)
    }

    /// Answers sealed input so that only whoever holds its receipt can read it.
    pub(super) fn answer_sealed(
        &mut self,
        space: SpaceId,
        subject: SubjectId,
        answer: &str,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        if !self.has_any_role(&[Role::Board]) {
            return Err(CommandError::Role { needs: "board" });
        }
        check_chars("answer", answer, NOTICE_CHARS_MAX)?;
        let words = self.open_sealed(space, subject)?;
        let reply = words.ok_or(CommandError::Unknown { what: "sealed input", subject })?.reply();
        let to = SealPublic::new(reply.ok_or(CommandError::Unknown { what: "receipt of", subject })?);
        let plain = codec::encode_answer(&AnswerWords { answer: answer.to_owned() });
        let bytes = seal::seal_reply(&to, self.identity.wijk, &plain, entropy.bytes())
            .map_err(|cause| CommandError::Seal { cause })?;
        let record = Record::Answer(SealedAnswer { to: seal::reply_id(&to), bytes });
        saved(self.create(SpaceId::Open, Kind::ANSWER, &record, entropy)?)
    }

    /// Erases something that this device's person wrote in a closed space with a key of the space.
    pub(super) fn erase_in(&mut self, space: SpaceId, subject: SubjectId) -> Result<Option<Admitted>, CommandError> {
        let Some(row) = self.replica.subject(space, subject)?.filter(|row| row.state != SubjectState::Erased) else {
            return Ok(None);
        };
        if row.owner != Some(self.identity.person) {
            return Ok(None);
        }
        let (Some((seed, commit)), Some((device, _))) = (row.opening, row.creator) else { return Ok(None) };
        let Some(erase_secret) = self.identity.erase_secret(&seed, &commit) else { return Ok(None) };
        let tombstone = Tombstone::Owner { subject, device, kind: row.kind, nonce: seed.nonce(), erase_secret };
        let (key, about) = (self.key_in(space), About::Existing(subject));
        self.opened.remove(&subject);
        Ok(Some(self.replica.write(&key, space, Kind::TOMBSTONE, about, &Record::Tombstone(tombstone))?))
    }

    pub(super) fn found_circle(&mut self, entropy: &mut Entropy) -> Result<Written, CommandError> {
        if !self.has_any_role(&[Role::Facilitator]) {
            return Err(CommandError::Role { needs: "facilitator" });
        }
        let nonce = entropy.bytes();
        let space = circle_id(self.identity.wijk, self.key.id(), &nonce);
        let written = self.enrol(space, Way::Founds(nonce))?;
        let outcomes = written.entries.into_iter().chain(written.woken).collect();
        Ok(Written { outcomes, rows: Batch::new(), reply: Reply::Circle(space) })
    }

    pub(super) fn invite_to_circle(
        &mut self,
        space: SpaceId,
        count: usize,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        self.needs_founder(space)?;
        if !(1..=INVITE_COUNT_MAX).contains(&count) {
            return Err(CommandError::Range { what: "number of cards", value: count, min: 1, max: INVITE_COUNT_MAX });
        }
        let (mut outcomes, mut secrets) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let secret = CardSecret::new(entropy.bytes());
            let card = CircleLink { wijk: self.identity.wijk, circle: space, secret };
            let record = Record::CircleCard(InvitationKey::new(*card.key().id().as_bytes()));
            outcomes.extend(self.create(space, Kind::CIRCLE_CARD, &record, entropy)?.entries);
            secrets.push(card.secret);
        }
        Ok(Written { outcomes, rows: Batch::new(), reply: Reply::CircleCards { circle: space, secrets } })
    }

    pub(super) fn join_circle(&mut self, card: &CircleLink) -> Result<Written, CommandError> {
        if card.wijk != self.identity.wijk {
            return Err(CommandError::OtherWijk { wijk: card.wijk });
        }
        if self.replica.head(card.circle, self.key_in(card.circle).id()).is_some() {
            return Ok(Written::nothing(Reply::Circle(card.circle)));
        }
        let card_key = card.key();
        let key = self.key_in(card.circle);
        let message = enrolment_message(card.wijk, card.circle, key.id(), key.seal_secret().public().as_bytes());
        let way = Way::Card { card: InvitationKey::new(*card_key.id().as_bytes()), proof: card_key.sign(&message).0 };
        let written = self.enrol(card.circle, way)?;
        Ok(Written { outcomes: written.entries, rows: Batch::new(), reply: Reply::Circle(card.circle) })
    }

    pub(super) fn remove_from_circle(
        &mut self,
        space: SpaceId,
        key: DeviceId,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        self.needs_founder(space)?;
        let known = self.replica.members().closed(space).is_some_and(|closed| closed.enrolled.contains_key(&key));
        if !known {
            return Err(CommandError::UnknownDevice { device: key });
        }
        let head = self.replica.head(space, key);
        let seen = head.map(|head| ChainEnd { space, device: key, entries: head.seq + 1, last: head.id });
        let record = Record::Revocation(Revocation {
            target: RevocationTarget::Device(key),
            reason: RevocationReason::Left,
            seen: seen.into_iter().collect(),
        });
        saved(self.create(space, Kind::REVOCATION, &record, entropy)?)
    }

    fn needs_founder(&self, space: SpaceId) -> Result<(), CommandError> {
        let members = self.replica.members();
        let founder = members.closed(space).and_then(|closed| closed.founder).and_then(|d| members.person(d));
        if matches!(space, SpaceId::Circle(_)) && founder == Some(self.identity.person) {
            return Ok(());
        }
        Err(CommandError::Role { needs: "the circle's facilitator" })
    }

    /// What something sealed says, opened with this device's keys; `None` when it can't be opened here.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn open_sealed(&mut self, space: SpaceId, subject: SubjectId) -> Result<Option<SealedWords>, ReplicaError> {
        if let Some(words) = self.opened.get(&subject) {
            return Ok(Some(words.clone()));
        }
        let Some(facts) = self.view.sealed_in(space).get(&subject).copied() else { return Ok(None) };
        let Some(row) = self.replica.entry(facts.place)? else { return Ok(None) };
        let Kept::Present(body) = &row.kept else { return Ok(None) };
        let (Ok(Some(Record::Sealed(sealed))), Ok(Some(opening))) =
            (codec::decode(row.kind, body), codec::opening(body))
        else {
            return Ok(None);
        };
        let Some(secret) = self.generation_secret(space, sealed.generation) else { return Ok(None) };
        let context = Context {
            wijk: self.identity.wijk,
            space,
            kind: row.kind,
            seed: opening.seed,
            commit: opening.commit,
            generation: sealed.generation,
        };
        // Whoever sealed something else than words wrote to nobody.
        let words = seal::open(&secret, &context, &sealed.bytes).ok();
        let words = words.and_then(|plain| codec::decode_words(&plain).ok());
        if let Some(words) = &words {
            self.opened.insert(subject, words.clone());
        }
        Ok(words)
    }

    /// Everything sealed in a space, in the order the server received it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn sealed_items(&mut self, space: SpaceId) -> Result<Vec<SealedItem>, ReplicaError> {
        let mut facts: Vec<_> = self.view.sealed_in(space).iter().map(|(s, facts)| (*s, *facts)).collect();
        facts.sort_by_key(|(subject, facts)| {
            (self.view.number_of(facts.id).map_or(u64::MAX, |numbered| numbered.number), *subject)
        });
        let mut items = Vec::with_capacity(facts.len());
        for (subject, facts) in facts {
            let words = self.open_sealed(space, subject)?;
            let answers = words.as_ref().map_or(0, |words| self.answer_count(words));
            let day = self.view.number_of(facts.id).map(|numbered| numbered.day);
            items.push(SealedItem { subject, space, day, words, answers });
        }
        Ok(items)
    }

    /// Answers to whoever holds a receipt; on any phone of the wijk.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn answers_for(&self, receipt: &ReceiptSecret) -> Result<Vec<AnswerItem>, ReplicaError> {
        let secret = receipt.key(self.identity.wijk);
        let mut items = Vec::new();
        for facts in self.view.answers_to(seal::reply_id(&secret.public())) {
            let Some(row) = self.replica.entry(facts.place)? else { continue };
            let Kept::Present(body) = &row.kept else { continue };
            let Ok(Some(Record::Answer(answer))) = codec::decode(row.kind, body) else { continue };
            let plain = seal::open_reply(&secret, self.identity.wijk, &answer.bytes).ok();
            let Some(words) = plain.and_then(|plain| codec::decode_answer(&plain).ok()) else { continue };
            let person = self.replica.members().person(facts.place.device);
            let day = self.view.number_of(facts.id).map(|numbered| numbered.day);
            items.push(AnswerItem { id: facts.id, person, day, answer: words.answer });
        }
        items.sort_by_key(|item| (item.day, item.id));
        Ok(items)
    }

    /// How many answers to something sealed are here. Costs no derivation of the receipt's key.
    fn answer_count(&self, words: &SealedWords) -> usize {
        let reply = words.reply().map(|key| seal::reply_id(&SealPublic::new(key)));
        reply.map_or(0, |reply| self.view.answers_to(reply).count())
    }

    /// Own sealed input with its answers.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn own_sealed(&self) -> Result<Vec<OwnSealedItem>, ReplicaError> {
        let items = self.own.iter().map(|(subject, own)| {
            let state = match own.stage {
                Stage::Arrived { day } => OwnState::Arrived { day },
                Stage::Saved | Stage::Erasing | Stage::Erased => {
                    let digest = own.digest(self.identity.wijk);
                    let sent = digest.is_some_and(|digest| self.dropped_now(&digest));
                    if sent { OwnState::OnTheWay } else { OwnState::Saved }
                }
            };
            // The receipt's key costs milliseconds and 8 MiB, so nearly always it is better to know before that nothing came.
            let unanswered = own.words.as_ref().is_some_and(|words| self.answer_count(words) == 0);
            let answers = if unanswered { Vec::new() } else { self.answers_for(&own.receipt)? };
            Ok(OwnSealedItem {
                subject: *subject,
                space: own.space,
                words: own.words.clone(),
                state,
                stage: own.stage,
                receipt: own.receipt.clone(),
                answers,
            })
        });
        items.collect()
    }

    /// Circles this device is in or wants to be in.
    #[must_use]
    pub fn circles(&self) -> Vec<SpaceId> {
        let circles = self.replica.spaces().into_iter().filter(|space| matches!(space, SpaceId::Circle(_)));
        circles.filter(|space| self.replica.head(*space, self.key_in(*space).id()).is_some()).collect()
    }
}

/// What is too long to be sealed is told before it is kept: it could never be sent.
fn fits(words: &SealedWords) -> Result<(), CommandError> {
    let bytes = codec::encode_words(words).len();
    if bytes > seal::SEALED_PLAIN_BYTES_MAX {
        let max = seal::SEALED_PLAIN_BYTES_MAX;
        return Err(CommandError::Length { what: "sealed text in bytes", chars: bytes, max });
    }
    Ok(())
}
