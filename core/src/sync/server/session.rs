//! One connection at the server: what a frame asks for, and whether whoever asks may. It writes nothing itself.

use super::{Confirmation, DropJob, PushJob, erasure, refill};
use crate::entry::{Signature, sign};
use crate::membership::Members;
use crate::model::{DeviceId, SpaceId, SubjectId, WijkId};
use crate::store::log::{Epoch, LogHead};
use crate::sync::pieces::{PieceError, PieceReader};
use crate::sync::wire::{ChainHead, Frame, RefusalCode};
use crate::sync::{ServerCertificate, head_message, prove_message};

/// What the shell of a connection does next.
#[derive(Debug)]
pub enum ServerEffect {
    /// Send this.
    Send(Frame),
    /// Give this to [`Server::admit`](super::Server::admit), and send its answer.
    Admit(PushJob),
    /// Give this to [`Server::take_drop`](super::Server::take_drop), and send its answer.
    Drop(DropJob),
    /// Give this to [`Server::confirm`](super::Server::confirm), and send its answer.
    Confirm(Confirmation),
    /// A phone showed a head of this epoch's log that this server signed and doesn't have: its folder is an old copy, or another
    /// server runs on a copy of it. Begin a new epoch before writing anything more.
    WentBack(SpaceId, LogHead),
    /// This device looks at something, or at nothing any more: count it among those that do, and send it the number now and
    /// whenever that changes ([`Frame::Attending`]). Without this effect nobody is counted.
    Attend {
        /// What.
        subject: Option<SubjectId>,
        /// Whether a person writes there.
        writes: bool,
    },
    /// From now on send pieces of this space, beginning at this head, and a signed head whenever its end is reached.
    Follow(SpaceId, LogHead),
    /// End the connection; the text is for the server's own log and holds no personal data.
    Close(&'static str),
}

/// One connection at the server.
#[derive(Debug)]
pub struct Session {
    wijk: WijkId,
    certificate: ServerCertificate,
    nonce: [u8; 32],
    device: Option<DeviceId>,
    /// Frames of frontiers so far.
    frontiers: usize,
}

impl Session {
    /// Begins a connection: send the frame first. `nonce` is 32 fresh random bytes.
    #[must_use]
    pub fn begin(wijk: WijkId, certificate: ServerCertificate, nonce: [u8; 32]) -> (Self, Frame) {
        let hello = Frame::Hello { wijk, certificate: certificate.clone(), nonce };
        (Self { wijk, certificate, nonce, device: None, frontiers: 0 }, hello)
    }

    /// The device at the other end, once it proved itself.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// Takes the bytes of one frame.
    pub fn receive(&mut self, bytes: &[u8], members: &Members, reader: &PieceReader) -> Vec<ServerEffect> {
        match Frame::decode(bytes) {
            Err(_) => vec![ServerEffect::Close("a frame that can't be read")],
            Ok(frame) => self.frame(frame, members, reader),
        }
    }

    fn frame(&mut self, frame: Frame, members: &Members, reader: &PieceReader) -> Vec<ServerEffect> {
        let Some(device) = self.device else {
            let Frame::Prove { device, signature } = frame else {
                return vec![ServerEffect::Close("spoke before it proved who it is")];
            };
            let message = prove_message(self.wijk, self.certificate.epoch_key, &self.nonce);
            if !sign::verify(device, &message, &signature) {
                return vec![ServerEffect::Close("a proof that isn't the device's")];
            }
            self.device = Some(device);
            return Vec::new();
        };
        match frame {
            Frame::Push { push, space, batch } => {
                if batch.runs.iter().any(|run| run.entries.is_empty()) {
                    return vec![ServerEffect::Close("a run without entries")];
                }
                vec![ServerEffect::Admit(PushJob { push, space, batch })]
            }
            Frame::Subscribe { space, epoch, cursor } => self.subscribe(device, space, epoch, cursor, members, reader),
            Frame::Confirm { space, epoch, next } => self.confirm(Confirmation { device, space, next }, epoch, members),
            Frame::AskErased { space, subject } => {
                let may_ask = members.is_active(device);
                match may_ask.then(|| erasure::reach(members, reader, space, subject)).transpose().map(Option::flatten)
                {
                    Ok(reach) => vec![ServerEffect::Send(Frame::Erased { space, subject, reach })],
                    Err(_) => vec![ServerEffect::Close("the log can't be read")],
                }
            }
            Frame::Drop { drop, envelope } => vec![ServerEffect::Drop(DropJob { drop, envelope })],
            Frame::Frontier { space, chains, last } => self.frontier(device, space, &chains, last, members, reader),
            Frame::Shown { space, epoch, head, signature } => self.shown(space, epoch, head, &signature, reader),
            Frame::Attend { subject, writes } => {
                // Who may not read what it names learns nothing of who does.
                let subject = subject.filter(|_| members.may_read(device, SpaceId::Open));
                let nothing = Frame::Attending { subject: None, present: 0, writing: 0 };
                let answer = subject.is_none().then_some(ServerEffect::Send(nothing));
                [ServerEffect::Attend { subject, writes }].into_iter().chain(answer).collect()
            }
            Frame::Bye => vec![ServerEffect::Close("said goodbye")],
            _ => vec![ServerEffect::Close("a frame that only servers send")],
        }
    }

    fn confirm(&self, said: Confirmation, epoch: Epoch, members: &Members) -> Vec<ServerEffect> {
        if epoch != self.certificate.epoch {
            return vec![ServerEffect::Close("confirms another epoch")];
        }
        match members.may_read(said.device, said.space) {
            true => vec![ServerEffect::Confirm(said)],
            false => vec![refused_space(members, said.device, said.space)],
        }
    }

    fn frontier(
        &mut self,
        device: DeviceId,
        space: SpaceId,
        chains: &[ChainHead],
        last: bool,
        members: &Members,
        reader: &PieceReader,
    ) -> Vec<ServerEffect> {
        self.frontiers += 1;
        if self.frontiers > refill::FRONTIERS_MAX {
            return vec![ServerEffect::Close("compares without end")];
        }
        match refill::wanted(members, reader, device, space, chains, last) {
            Ok(Some(frame)) => vec![ServerEffect::Send(frame)],
            Ok(None) => vec![refused_space(members, device, space)],
            Err(_) => vec![ServerEffect::Close("its own chains can't be read")],
        }
    }

    /// Only this server's own signature is believed: a phone can't make one up.
    fn shown(
        &self,
        space: SpaceId,
        epoch: Epoch,
        head: LogHead,
        signature: &Signature,
        reader: &PieceReader,
    ) -> Vec<ServerEffect> {
        let message = head_message(self.wijk, space, &epoch, &head);
        if epoch != self.certificate.epoch || !sign::verify(self.certificate.epoch_key, &message, signature) {
            return Vec::new();
        }
        let empty = LogHead::empty(self.wijk, space, &epoch);
        match reader.had_head(space, &empty, &head) {
            Ok(true) => Vec::new(),
            Ok(false) => vec![ServerEffect::WentBack(space, head)],
            Err(_) => vec![ServerEffect::Close("the log can't be read")],
        }
    }

    fn subscribe(
        &self,
        device: DeviceId,
        space: SpaceId,
        epoch: Epoch,
        cursor: LogHead,
        members: &Members,
        reader: &PieceReader,
    ) -> Vec<ServerEffect> {
        if !members.may_read(device, space) {
            return vec![refused_space(members, device, space)];
        }
        let empty = LogHead::empty(self.wijk, space, &self.certificate.epoch);
        let fits = || -> Result<bool, PieceError> {
            Ok(epoch == self.certificate.epoch && reader.had_head(space, &empty, &cursor)?)
        };
        match fits() {
            Ok(true) => vec![ServerEffect::Follow(space, cursor)],
            Ok(false) => {
                let restart = Frame::Restart { space, epoch: self.certificate.epoch };
                vec![ServerEffect::Send(restart), ServerEffect::Follow(space, empty)]
            }
            Err(_) => vec![ServerEffect::Close("the log can't be read")],
        }
    }
}

/// A space that a device may not read, or no longer.
fn refused_space(members: &Members, device: DeviceId, space: SpaceId) -> ServerEffect {
    let code = if members.is_revoked(device) { RefusalCode::Revoked } else { RefusalCode::NotReadable };
    ServerEffect::Send(Frame::Refused { push: None, space, code, expected_seq: None })
}
