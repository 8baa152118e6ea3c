//! What the server itself says, in entries of its epoch's key: who it is, where revoked chains end, what stands of something
//! that happened twice, and counts of secret polls.
//!
//! It says these in the same commit that admits their cause, so that nobody ever sees one without the other. It decides
//! nothing here: each follows from a record of somebody with the right to it, and phones check that.

use std::collections::BTreeMap;

use super::{Server, ServerError};
use crate::entry::codec::{self, Record};
use crate::entry::{EraseSecret, Kind, Payload, Seed};
use crate::gate::Verdict;
use crate::hash::short;
use crate::model::poll::TALLY_MIN;
use crate::model::*;
use crate::replica::{About, Admitted, EntryRow, Kept, Place, ReplicaError, RunBatch};
use crate::store::{Table, keys};

impl Server {
    /// Writes an entry with the epoch's key. What is random elsewhere follows from the key and the entry's place, so that
    /// the server's core needs no randomness.
    fn say(&mut self, space: SpaceId, kind: Kind, record: &Record) -> Result<Admitted, ServerError> {
        let key = self.keys.epoch_key.clone();
        let seq = self.replica.head(space, key.id()).map_or(0, |head| head.seq + 1);
        let derived = |tag| {
            key.derive(tag, 3, |w| {
                w.bytes(&space.to_bytes()).uint(kind.0).uint(seq);
            })
        };
        let seed = Seed(short(derived("samenspraak/server-seed/v1")));
        let erase_secret = EraseSecret(derived("samenspraak/server-erase/v1"));
        Ok(self.replica.write(&key, space, kind, About::New { seed, erase_secret }, record)?)
    }

    /// Presents the key of this epoch, once the wijk has named this server.
    pub(super) fn present_itself(&mut self) -> Result<Option<Admitted>, ServerError> {
        let key = &self.keys.epoch_key;
        let members = self.replica.members();
        if members.server() != Some(self.keys.identity.id()) || self.replica.head(SpaceId::Members, key.id()).is_some()
        {
            return Ok(None);
        }
        let certificate = self.certificate();
        let record = Record::Epoch(EpochKey {
            identity: certificate.identity,
            epoch: certificate.epoch,
            certificate: certificate.signature.0,
            encryption_key: *key.seal_secret().public().as_bytes(),
        });
        self.say(SpaceId::Members, Kind::EPOCH, &record).map(Some)
    }

    /// What follows from records that count now.
    pub(super) fn follow_up(&mut self, admitted: &Admitted) -> Result<Vec<Admitted>, ServerError> {
        let mut said = Vec::new();
        for outcome in admitted.all().filter(|outcome| outcome.verdict == Verdict::Present) {
            let Place { space, device, .. } = outcome.place;
            match &outcome.record {
                Some(Record::Revocation(revocation)) => said.extend(self.cut(space, outcome.id, revocation)?),
                Some(Record::Join(_)) => said.extend(self.cut_late(device)?),
                Some(Record::Count(question)) => said.push(self.tally(*question)?),
                _ => {}
            }
        }
        Ok(said)
    }

    /// Ends the chains that a revocation is about where they stand now.
    fn cut(&mut self, space: SpaceId, id: EntryId, revocation: &Revocation) -> Result<Vec<Admitted>, ServerError> {
        let members = self.replica.members();
        let mut chains: Vec<(SpaceId, DeviceId)> = Vec::new();
        if space == SpaceId::Members {
            for device in members.devices_of(revocation.target) {
                chains.extend(OPEN_CHAINS.map(|in_space| (in_space, device)));
                let closed = members.closed_keys(device).into_iter();
                chains.extend(closed.filter(|(closed_space, _)| !members.may_read(device, *closed_space)));
            }
        } else if let RevocationTarget::Device(key) = revocation.target {
            chains.push((space, key));
        }
        let mut said = Vec::new();
        for (in_space, device) in chains {
            let head = self.replica.head(in_space, device);
            let here = ChainEnd {
                space: in_space,
                device,
                entries: head.map_or(0, |head| head.seq + 1),
                last: head.map_or(EntryId::ZERO, |head| head.id),
            };
            said.extend(self.end(here, id, revocation)?);
        }
        Ok(said)
    }

    /// Ends the chains of a device that joins after its person, or a role of that person, was revoked. What it brought with its
    /// join comes too late as well.
    fn cut_late(&mut self, device: DeviceId) -> Result<Vec<Admitted>, ServerError> {
        let revocations = self.replica.members().revocations_of(device).into_iter();
        let revocations: Vec<(EntryId, Revocation)> = revocations.map(|(id, said)| (id, said.clone())).collect();
        let mut said = Vec::new();
        for (id, revocation) in &revocations {
            for space in OPEN_CHAINS {
                let end = ChainEnd { space, device, entries: 0, last: EntryId::ZERO };
                said.extend(self.end(end, *id, revocation)?);
            }
        }
        Ok(said)
    }

    /// Says where a chain ends, once. What the author of the revocation had seen counts, also where this server hasn't got it.
    fn end(&mut self, here: ChainEnd, id: EntryId, revocation: &Revocation) -> Result<Option<Admitted>, ServerError> {
        if self.replica.members().is_cut(here.space, here.device, revocation.target) {
            return Ok(None);
        }
        let same = |seen: &&ChainEnd| (seen.space, seen.device) == (here.space, here.device);
        let seen = revocation.seen.iter().filter(same).copied();
        let end = seen.chain([here]).max_by_key(|end| end.entries).unwrap_or(here);
        self.say(said_in(here.space), Kind::CUT, &Record::Cut(Cut { end, revocation: id })).map(Some)
    }

    /// Says who is in with a card that somebody else tried too, or that was withdrawn; once.
    pub(super) fn settle(&mut self, space: SpaceId, card: InvitationKey) -> Result<Option<Admitted>, ServerError> {
        let members = self.replica.members();
        if members.server_key(self.keys.epoch_key.id()).is_none() {
            return Ok(None);
        }
        let (is_settled, device) = match members.closed(space) {
            Some(closed) if space.is_closed() => (closed.is_settled(card), closed.joined_with(card)),
            _ => (members.is_settled(card), members.joined_with(card)),
        };
        if is_settled {
            return Ok(None);
        }
        let record = Record::Settlement(Settlement::Card { card, device });
        self.say(said_in(space), Kind::SETTLEMENT, &record).map(Some)
    }

    /// Says which of two entries at one place stands: the one that is in the log. Once a place.
    pub(super) fn settle_fork(
        &mut self,
        space: SpaceId,
        device: DeviceId,
        seq: u64,
    ) -> Result<Option<Admitted>, ServerError> {
        let Some(row) = self.replica.entry(Place { space, device, seq })? else { return Ok(None) };
        if self.replica.members().server_key(self.keys.epoch_key.id()).is_none()
            || self.replica.members().fork_settled(space, device, seq)
        {
            return Ok(None);
        }
        let record = Record::Settlement(Settlement::Fork { space, device, seq, id: row.id });
        self.say(said_in(space), Kind::SETTLEMENT, &record).map(Some)
    }

    /// Counts the answers to a secret poll that are flushed, and publishes those that are enough to hide everybody in.
    fn tally(&mut self, question: SubjectId) -> Result<Admitted, ServerError> {
        let mut newest: BTreeMap<PersonId, (u64, EntryId, Choice)> = BTreeMap::new();
        self.replica.walk(Table::Entry, &keys::space(SpaceId::Ballot), |replica, row| {
            let wrong = |cause| ReplicaError::Row { table: Table::Entry, cause };
            let entry = EntryRow::decode(&row.value).map_err(wrong)?;
            if let (Some(place), Kept::Present(body)) = (Place::decode(&row.key), &entry.kept)
                && let Ok(Some(Record::Voice(voice))) = codec::decode(entry.kind, body)
                && voice.question == question
                && let Some(person) = replica.members().person(place.device)
            {
                let spoken = (voice.counter, entry.id, voice.choice);
                let known = newest.entry(person).or_insert(spoken);
                *known = (*known).max(spoken);
            }
            Ok(())
        })?;
        let mut counts: BTreeMap<u64, (Choice, u64)> = BTreeMap::new();
        for (_, _, choice) in newest.into_values().filter(|(_, _, choice)| *choice != Choice::Withdrawn) {
            counts.entry(choice.number()).or_insert((choice, 0)).1 += 1;
        }
        let counts = counts.into_values().filter(|(_, count)| *count >= TALLY_MIN).collect();
        self.say(SpaceId::Open, Kind::TALLY, &Record::Tally(Tally { question, counts }))
    }
}

/// The spaces in which every device writes with its own key.
const OPEN_CHAINS: [SpaceId; 3] = [SpaceId::Members, SpaceId::Open, SpaceId::Ballot];

/// Where the server speaks of a chain: in `members`, but of closed spaces among those who are in them.
fn said_in(space: SpaceId) -> SpaceId {
    if space.is_closed() { space } else { SpaceId::Members }
}

/// The cards that joins and enrolments of a push show.
pub(super) fn cards_of(batch: &RunBatch) -> impl Iterator<Item = InvitationKey> + '_ {
    batch.runs.iter().flat_map(|run| &run.entries).filter_map(|entry| match &entry.payload {
        Payload::Creating { body } => match codec::decode(entry.kind, body) {
            Ok(Some(Record::Join(join))) => Some(join.invitation),
            Ok(Some(Record::Enrolment(Enrolment { way: Way::Card { card, .. }, .. }))) => Some(card),
            _ => None,
        },
        _ => None,
    })
}
