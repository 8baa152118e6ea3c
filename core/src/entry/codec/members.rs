//! Bodies of records that say who belongs.

use super::{Body, exact, finish, list, numbered, optional, read_space, text};
use crate::cbor::{CborError, Fields, Reader, Writer};
use crate::model::member::{ORGANISATION_BYTES_MAX, SEEN_MAX};
use crate::model::*;

pub(super) fn grant(body: &Body<'_>, g: &Grant) -> Vec<u8> {
    let mut w = body.map(2 + usize::from(g.organisation.is_some()));
    w.uint(3).bytes(g.person.as_bytes()).uint(4).uint(g.role.number());
    if let Some(organisation) = g.organisation {
        w.uint(5).bytes(organisation.as_bytes());
    }
    w.finish()
}

pub(super) fn read_grant(f: &Fields<'_>) -> Result<Grant, CborError> {
    let grant = Grant {
        person: PersonId::new(exact(f, 3)?),
        role: numbered(f, 4, Role::from_number, "a role")?,
        organisation: optional(f, 5)?.map(SubjectId::new),
    };
    if (grant.role == Role::Party) != grant.organisation.is_some() {
        return Err(CborError { at: 0, what: "an organisation for a party representative, and for nobody else" });
    }
    Ok(grant)
}

/// Stands where a role would: the card gives a device of the person in key 6.
const GIVES_DEVICE: u64 = 0;

pub(super) fn invitation(body: &Body<'_>, i: &Invitation) -> Vec<u8> {
    let device = usize::from(matches!(i.gives, Gives::Device(_)));
    let mut w = body.map(2 + device + usize::from(i.batch.is_some()));
    w.uint(3).bytes(i.key.as_bytes()).uint(4).uint(match i.gives {
        Gives::Role(role) => role.number(),
        Gives::Device(_) => GIVES_DEVICE,
    });
    if let Some(batch) = i.batch {
        w.uint(5).bytes(batch.as_bytes());
    }
    if let Gives::Device(person) = i.gives {
        w.uint(6).bytes(person.as_bytes());
    }
    w.finish()
}

pub(super) fn read_invitation(f: &Fields<'_>) -> Result<Invitation, CborError> {
    let gives = match f.need(4)?.uint()? {
        GIVES_DEVICE => Gives::Device(PersonId::new(exact(f, 6)?)),
        // A party representative is named with an organisation, which no card has.
        number => match Role::from_number(number) {
            None | Some(Role::Party) => return Err(CborError { at: 0, what: "a role that cards give" }),
            Some(role) => Gives::Role(role),
        },
    };
    Ok(Invitation { key: InvitationKey::new(exact(f, 3)?), gives, batch: optional(f, 5)?.map(BatchId::new) })
}

pub(super) fn join(body: &Body<'_>, j: &Join) -> Vec<u8> {
    let mut w = body.map(4);
    w.uint(3).bytes(j.invitation.as_bytes()).uint(4).bytes(j.person.as_bytes());
    finish(w.uint(5).bytes(&j.proof).uint(6).bytes(&j.encryption_key))
}

pub(super) fn read_join(f: &Fields<'_>) -> Result<Join, CborError> {
    Ok(Join {
        invitation: InvitationKey::new(exact(f, 3)?),
        person: PersonId::new(exact(f, 4)?),
        proof: exact(f, 5)?,
        encryption_key: exact(f, 6)?,
    })
}

pub(super) fn epoch(body: &Body<'_>, e: &EpochKey) -> Vec<u8> {
    let mut w = body.map(4);
    w.uint(3).bytes(e.identity.as_bytes()).uint(4).bytes(&e.epoch);
    finish(w.uint(5).bytes(&e.certificate).uint(6).bytes(&e.encryption_key))
}

pub(super) fn read_epoch(f: &Fields<'_>) -> Result<EpochKey, CborError> {
    Ok(EpochKey {
        identity: DeviceId::new(exact(f, 3)?),
        epoch: exact(f, 4)?,
        certificate: exact(f, 5)?,
        encryption_key: exact(f, 6)?,
    })
}

fn end(w: &mut Writer, end: &ChainEnd) {
    w.array(4).bytes(&end.space.to_bytes()).bytes(end.device.as_bytes()).uint(end.entries).bytes(end.last.as_bytes());
}

fn read_end(r: &mut Reader<'_>) -> Result<ChainEnd, CborError> {
    r.array_of(4)?;
    let (space, device) = (read_space(r)?, DeviceId::new(r.exact()?));
    let end = ChainEnd { space, device, entries: r.uint()?, last: EntryId::new(r.exact()?) };
    if (end.entries == 0) != (end.last == EntryId::ZERO) {
        return Err(r.error("the last entry of a chain that has any"));
    }
    Ok(end)
}

pub(super) fn revocation(body: &Body<'_>, revocation: &Revocation) -> Vec<u8> {
    let mut w = body.map(3);
    w.uint(3).array(2);
    match revocation.target {
        RevocationTarget::Device(device) => w.uint(1).bytes(device.as_bytes()),
        RevocationTarget::Person(person) => w.uint(2).bytes(person.as_bytes()),
        RevocationTarget::Grant(id) => w.uint(3).bytes(id.as_bytes()),
        RevocationTarget::Revocation(id) => w.uint(4).bytes(id.as_bytes()),
    };
    w.uint(4).uint(revocation.reason.number()).uint(5).array(revocation.seen.len());
    for seen in &revocation.seen {
        end(&mut w, seen);
    }
    w.finish()
}

pub(super) fn read_revocation(f: &Fields<'_>) -> Result<Revocation, CborError> {
    let mut r = f.need(3)?;
    r.array_of(2)?;
    let target = match r.uint()? {
        1 => RevocationTarget::Device(DeviceId::new(r.exact()?)),
        2 => RevocationTarget::Person(PersonId::new(r.exact()?)),
        3 => RevocationTarget::Grant(EntryId::new(r.exact()?)),
        4 => RevocationTarget::Revocation(EntryId::new(r.exact()?)),
        _ => return Err(r.error("a device, a person, a grant or a revocation")),
    };
    Ok(Revocation {
        target,
        reason: numbered(f, 4, RevocationReason::from_number, "a reason of a revocation")?,
        seen: list(f, 5, SEEN_MAX, read_end)?,
    })
}

pub(super) fn cut(body: &Body<'_>, cut: &Cut) -> Vec<u8> {
    let mut w = body.map(2);
    end(w.uint(3), &cut.end);
    w.uint(4).bytes(cut.revocation.as_bytes());
    w.finish()
}

pub(super) fn read_cut(f: &Fields<'_>) -> Result<Cut, CborError> {
    Ok(Cut { end: read_end(&mut f.need(3)?)?, revocation: EntryId::new(exact(f, 4)?) })
}

pub(super) fn settlement(body: &Body<'_>, settlement: &Settlement) -> Vec<u8> {
    let mut w = body.map(1);
    w.uint(3);
    match settlement {
        Settlement::Card { card, device } => {
            w.array(3).uint(1).bytes(card.as_bytes());
            match device {
                Some(device) => w.bytes(device.as_bytes()),
                None => w.null(),
            };
        }
        Settlement::Fork { space, device, seq, id } => {
            w.array(5).uint(2).bytes(&space.to_bytes()).bytes(device.as_bytes()).uint(*seq).bytes(id.as_bytes());
        }
    }
    w.finish()
}

pub(super) fn read_settlement(f: &Fields<'_>) -> Result<Settlement, CborError> {
    let mut r = f.need(3)?;
    let len = r.array(5)?;
    Ok(match (r.uint()?, len) {
        (1, 3) => {
            let card = InvitationKey::new(r.exact()?);
            let device = if r.null()? { None } else { Some(DeviceId::new(r.exact()?)) };
            Settlement::Card { card, device }
        }
        (2, 5) => {
            let (space, device) = (read_space(&mut r)?, DeviceId::new(r.exact()?));
            Settlement::Fork { space, device, seq: r.uint()?, id: EntryId::new(r.exact()?) }
        }
        _ => return Err(r.error("a settlement of a card or a fork")),
    })
}

pub(super) fn read_organisation(f: &Fields<'_>) -> Result<Organisation, CborError> {
    let name = text(f, 3, ORGANISATION_BYTES_MAX)?;
    if name.trim().is_empty() {
        return Err(CborError { at: 0, what: "the name of an organisation" });
    }
    Ok(Organisation { name })
}
