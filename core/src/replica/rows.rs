//! Values of a replica's rows, as bytes. Read back strictly: a row that has another form is damage, and is reported.

use crate::cbor::{CborError, Reader, Writer};
use crate::entry::header::Extra;
use crate::entry::{EraseCommit, Kind, Seed, Signature};
use crate::gate::body::SubjectState;
use crate::gate::{Dep, Verdict};
use crate::hash::Hash;
use crate::model::{DeviceId, EntryId, InvitationKey, PersonId, SpaceId, SubjectId};

/// What is kept of an entry's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The body counts.
    Present(Vec<u8>),
    /// The body waits.
    Pending(Vec<u8>),
    /// The body was refused. Its own author keeps the words.
    Refused(Verdict, Option<Vec<u8>>),
    /// The subject was erased.
    Erased,
    /// The body isn't here: a hole.
    Absent,
}

impl Kept {
    /// The body, where it is kept.
    #[must_use]
    pub fn body(&self) -> Option<&[u8]> {
        match self {
            Self::Present(body) | Self::Pending(body) => Some(body),
            Self::Refused(_, body) => body.as_deref(),
            Self::Erased | Self::Absent => None,
        }
    }

    /// What the gate said of it; a hole is pending.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Present(_) => Verdict::Present,
            Self::Pending(_) | Self::Absent => Verdict::Pending,
            Self::Refused(verdict, _) => *verdict,
            Self::Erased => Verdict::Erased,
        }
    }
}

/// Row of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Its id.
    pub id: EntryId,
    /// Its kind.
    pub kind: Kind,
    /// Its subject.
    pub subject: SubjectId,
    /// Hash of its body.
    pub body_hash: Hash,
    /// Whether it creates its subject.
    pub creates: bool,
    /// The body.
    pub kept: Kept,
    /// Its signature, where it is held.
    pub signature: Option<Signature>,
    /// Header fields of a newer app.
    pub extra: Vec<Extra>,
}

impl EntryRow {
    /// To bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.array(9).bytes(self.id.as_bytes()).uint(self.kind.0).bytes(self.subject.as_bytes()).bytes(&self.body_hash);
        w.bool(self.creates);
        let (state, body) = match &self.kept {
            Kept::Present(body) => (0, Some(body.as_slice())),
            Kept::Pending(body) => (1, Some(body.as_slice())),
            Kept::Erased => (2, None),
            Kept::Absent => (3, None),
            Kept::Refused(verdict, body) => (verdict.number(), body.as_deref()),
        };
        w.uint(state);
        match body {
            Some(body) => w.bytes(body),
            None => w.null(),
        };
        match &self.signature {
            Some(signature) => w.bytes(&signature.0),
            None => w.null(),
        };
        w.array(self.extra.len());
        for extra in &self.extra {
            w.array(2).uint(extra.key).bytes(&extra.value);
        }
        w.finish()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they have another form.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut r = Reader::new(bytes);
        r.array_of(9)?;
        let id = EntryId::new(r.exact()?);
        let kind = Kind(r.uint()?);
        let subject = SubjectId::new(r.exact()?);
        let body_hash = r.exact()?;
        let creates = r.bool()?;
        let state = r.uint()?;
        let body = if r.null()? { None } else { Some(r.bytes(bytes.len())?.to_vec()) };
        let kept = match (state, body) {
            (0, Some(body)) => Kept::Present(body),
            (1, Some(body)) => Kept::Pending(body),
            (2, None) => Kept::Erased,
            (3, None) => Kept::Absent,
            (number, body) => match Verdict::from_number(number) {
                verdict @ Verdict::Refused(_) => Kept::Refused(verdict, body),
                _ => return Err(r.error("a state of an entry")),
            },
        };
        let signature = if r.null()? { None } else { Some(Signature(r.exact()?)) };
        let extra = (0..r.array(crate::entry::header::EXTRA_FIELDS_MAX)?)
            .map(|_| {
                r.array_of(2)?;
                Ok(Extra { key: r.uint()?, value: r.bytes(bytes.len())?.to_vec() })
            })
            .collect::<Result<_, CborError>>()?;
        r.end()?;
        Ok(Self { id, kind, subject, body_hash, creates, kept, signature, extra })
    }
}

/// Row of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRow {
    /// State.
    pub state: SubjectState,
    /// Kind.
    pub kind: Kind,
    /// Creating device and sequence number; `None` when only a tombstone is known.
    pub creator: Option<(DeviceId, u64)>,
    /// Person of the creating device.
    pub owner: Option<PersonId>,
    /// Seed and commitment, until it is erased.
    pub opening: Option<(Seed, EraseCommit)>,
}

impl SubjectRow {
    /// To bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.array(7).uint(match self.state {
            SubjectState::Live => 0,
            SubjectState::Pending => 1,
            SubjectState::Refused => 2,
            SubjectState::Erased => 3,
        });
        w.uint(self.kind.0);
        match &self.creator {
            Some((device, seq)) => w.bytes(device.as_bytes()).uint(*seq),
            None => w.null().null(),
        };
        match &self.owner {
            Some(person) => w.bytes(person.as_bytes()),
            None => w.null(),
        };
        match &self.opening {
            Some((seed, commit)) => w.bytes(&seed.0).bytes(&commit.0),
            None => w.null().null(),
        };
        w.finish()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they have another form.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut r = Reader::new(bytes);
        r.array_of(7)?;
        let state = match r.uint()? {
            0 => SubjectState::Live,
            1 => SubjectState::Pending,
            2 => SubjectState::Refused,
            3 => SubjectState::Erased,
            _ => return Err(r.error("a state of a subject")),
        };
        let kind = Kind(r.uint()?);
        let creator = if r.null()? {
            r.null()?;
            None
        } else {
            Some((DeviceId::new(r.exact()?), r.uint()?))
        };
        let owner = if r.null()? { None } else { Some(PersonId::new(r.exact()?)) };
        let opening = if r.null()? {
            r.null()?;
            None
        } else {
            Some((Seed(r.exact()?), EraseCommit(r.exact()?)))
        };
        r.end()?;
        Ok(Self { state, kind, creator, owner, opening })
    }
}

/// Where an entry stands in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The space.
    pub space: SpaceId,
    /// The device.
    pub device: DeviceId,
    /// Sequence number.
    pub seq: u64,
}

impl Place {
    /// To bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        crate::store::keys::entry(self.space, self.device, self.seq)
    }

    /// From bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (space, device, seq) = crate::store::keys::parse_entry(bytes)?;
        Some(Self { space, device, seq })
    }
}

/// Last entry of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Sequence number.
    pub seq: u64,
    /// Id.
    pub id: EntryId,
}

impl Head {
    /// To bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.array(2).uint(self.seq).bytes(self.id.as_bytes());
        w.finish()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they have another form.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut r = Reader::new(bytes);
        r.array_of(2)?;
        Ok(Self { seq: r.uint()?, id: EntryId::new(r.exact()?) })
    }
}

/// What a pending entry waits for, to bytes.
#[must_use]
pub fn encode_dep(dep: &Dep) -> Vec<u8> {
    let mut w = Writer::new();
    match dep {
        Dep::Root => w.array(1).uint(0),
        Dep::Role(person) => w.array(2).uint(1).bytes(person.as_bytes()),
        Dep::Device(device) => w.array(2).uint(2).bytes(device.as_bytes()),
        Dep::Card(card) => w.array(2).uint(3).bytes(card.as_bytes()),
        Dep::Subject(space, subject) => w.array(3).uint(4).bytes(&space.to_bytes()).bytes(subject.as_bytes()),
        Dep::Change(subject, hash) => w.array(3).uint(5).bytes(subject.as_bytes()).bytes(hash),
        Dep::Kind(kind) => w.array(2).uint(6).uint(*kind),
        Dep::Log(device) => w.array(2).uint(7).bytes(device.as_bytes()),
        Dep::Statement(id) => w.array(2).uint(8).bytes(id.as_bytes()),
        Dep::Readmission(device) => w.array(2).uint(9).bytes(device.as_bytes()),
        Dep::Membership => w.array(1).uint(10),
    };
    w.finish()
}

/// What a pending entry waits for, from bytes.
///
/// # Errors
/// When they have another form.
pub fn decode_dep(bytes: &[u8]) -> Result<Dep, CborError> {
    let mut r = Reader::new(bytes);
    r.array(3)?;
    Ok(match r.uint()? {
        0 => Dep::Root,
        1 => Dep::Role(PersonId::new(r.exact()?)),
        2 => Dep::Device(DeviceId::new(r.exact()?)),
        3 => Dep::Card(InvitationKey::new(r.exact()?)),
        4 => {
            let space = SpaceId::from_bytes(r.bytes(17)?).ok_or_else(|| r.error("a space"))?;
            Dep::Subject(space, SubjectId::new(r.exact()?))
        }
        5 => Dep::Change(SubjectId::new(r.exact()?), r.exact()?),
        6 => Dep::Kind(r.uint()?),
        7 => Dep::Log(DeviceId::new(r.exact()?)),
        8 => Dep::Statement(EntryId::new(r.exact()?)),
        9 => Dep::Readmission(DeviceId::new(r.exact()?)),
        10 => Dep::Membership,
        _ => return Err(r.error("a dependency")),
    })
}
