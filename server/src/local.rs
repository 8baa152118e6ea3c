//! Sync between a phone and a server in the same process, without a socket: for founding a wijk and for cards that are made
//! while no server runs.

use std::collections::{BTreeMap, VecDeque};

use samenspraak_core::model::SpaceId;
use samenspraak_core::store::log::LogHead;
use samenspraak_core::sync::server::{Server, ServerEffect, Session};
use samenspraak_core::sync::wire::Frame;

use crate::client::{Driver, SyncError, entropy};
use crate::date::today;
use crate::error::ProgramError;

/// Lets a phone and a server say everything to each other.
///
/// # Errors
/// When either refuses or a store fails.
pub fn sync(phone: &mut Driver, server: &mut Server) -> Result<(), ProgramError> {
    sync_on(phone, server, today())
}

/// The same, on another day: the demo lets some weeks go by.
///
/// # Errors
/// When either refuses or a store fails.
pub fn sync_on(phone: &mut Driver, server: &mut Server, day: u32) -> Result<(), ProgramError> {
    let wijk = server.replica().wijk();
    let (mut session, hello) = Session::begin(wijk, server.certificate(), entropy());
    let (reader, signer) = (server.reader(), server.signer());
    let mut followed: BTreeMap<SpaceId, LogHead> = BTreeMap::new();
    let mut down = VecDeque::from([hello.encode()]);
    let mut settled = false;
    while let Some(frame) = down.pop_front() {
        let (frames, now_settled) = phone.local_frame(frame)?;
        settled |= now_settled;
        let mut begun = false;
        for frame in frames {
            for effect in session.receive(&frame, server.members(), &reader) {
                match effect {
                    ServerEffect::Send(frame) => down.push_back(frame.encode()),
                    ServerEffect::Admit(job) => {
                        let (answers, _) = server.admit(&[job], day)?;
                        down.extend(answers.iter().map(Frame::encode));
                    }
                    ServerEffect::Drop(job) => {
                        down.push_back(server.take_drop(&job, day)?.encode());
                        server.release(entropy(), day)?;
                    }
                    ServerEffect::Confirm(said) => {
                        let answers = server.confirm(&[said])?;
                        down.extend(answers.iter().map(Frame::encode));
                    }
                    ServerEffect::Follow(space, head) => {
                        begun = true;
                        followed.insert(space, head);
                    }
                    // What stands in this folder is what there is; its other phones say it too.
                    ServerEffect::WentBack(space, head) => {
                        tracing::warn!(%space, next = head.next, "this device knows more than this server's log shows");
                    }
                    // There is nobody else.
                    ServerEffect::Attend { .. } => {}
                    ServerEffect::Close(_) => down.push_back(Frame::Bye.encode()),
                }
            }
        }
        for (space, head) in &mut followed {
            let before = *head;
            while let Some(read) = reader.read(*space, head.next)? {
                *head = read.head;
                down.push_back(Frame::Piece(read.piece).encode());
            }
            if begun || *head != before {
                down.push_back(signer.current(*space, *head).encode());
            }
        }
    }
    phone.disconnected();
    if settled { Ok(()) } else { Err(SyncError::NotJoined.into()) }
}
