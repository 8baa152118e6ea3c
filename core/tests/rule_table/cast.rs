//! Who plays in a scene: numbers and roles, and the space each kind belongs in.

use samenspraak_core::entry::codec::circle_id;
use samenspraak_core::model::{Role, SpaceId, WijkId};

use crate::table::{What, Who};
use crate::wijk::key;

pub const NONCE: [u8; 16] = [8; 16];
/// Numbers of authors.
pub const IDENTITY: u8 = 100;
pub const EPOCH_KEY: u8 = 101;
pub const LATER_EPOCH_KEY: u8 = 102;
pub const STRANGER: u8 = 99;
pub const UNGRANTED: u8 = 30;
pub const REVOKED: u8 = 40;
pub const TARGET: u8 = 41;

pub fn number(who: Who) -> u8 {
    match who {
        Who::Stranger => STRANGER,
        Who::Resident => 1,
        Who::Party => 2,
        Who::Facilitator => 3,
        Who::Board => 4,
        Who::Administrator => 5,
        Who::Root => 200,
        Who::Server => EPOCH_KEY,
    }
}

pub fn role(who: Who) -> Option<Role> {
    match who {
        Who::Party => Some(Role::Party),
        Who::Facilitator => Some(Role::Facilitator),
        Who::Board => Some(Role::Board),
        Who::Administrator => Some(Role::Administrator),
        Who::Stranger | Who::Resident | Who::Root | Who::Server => None,
    }
}

/// Where a kind belongs; the circle is the facilitator's.
pub fn space_of(what: What, wijk: WijkId) -> SpaceId {
    match what {
        What::Genesis
        | What::Grant
        | What::Revocation
        | What::Invitation
        | What::Join
        | What::Server
        | What::Cut
        | What::Directory
        | What::Epoch
        | What::Settlement
        | What::Withdrawal
        | What::Organisation
        | What::Generation => SpaceId::Members,
        What::Tombstone
        | What::Contribution
        | What::Meeting
        | What::Voice
        | What::Decision
        | What::Answer
        | What::Count
        | What::Tally
        | What::Ruling => SpaceId::Open,
        What::Ballot => SpaceId::Ballot,
        What::Enrolment | What::Wrap | What::Sealed => SpaceId::Board,
        What::Dropped => SpaceId::Inbox,
        What::CircleCard => circle_id(wijk, key(number(Who::Facilitator)).id(), &NONCE),
    }
}
