//! Why a sync didn't finish: one reason for each thing that somebody can do something about.

use samenspraak_core::sync::phone::SessionError;
use samenspraak_core::sync::wire::RefusalCode;

/// Why a sync didn't finish. What was written stays safe on the phone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// The address is none.
    #[error("{address} is no address of a server: it begins with https:// or http://")]
    Address {
        /// What was given.
        address: String,
    },
    /// The file of authorities can't be used, or the system trusts none.
    #[error("cannot tell whom to trust: {reason}")]
    Trust {
        /// Why.
        reason: String,
    },
    /// Nobody answers.
    #[error("no server answers at {address}: {reason}")]
    Unreachable {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection to {address} broke: {reason}")]
    Broken {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The phone ended it.
    #[error("{0}")]
    Session(#[from] SessionError),
    /// The server lets this phone in no further.
    #[error("the server refuses: {}", refusal_words(*.0))]
    Refused(RefusalCode),
    /// The platform says that there is no network.
    #[error("there is no network")]
    NoNetwork,
    /// The phone hasn't joined.
    #[error("this phone hasn't joined a wijk yet")]
    NotJoined,
}

fn refusal_words(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::CardUsed => "this card was used by another device; ask for a new card",
        RefusalCode::CardUnknown => "this card isn't known in this wijk; check the letters or ask for a new card",
        RefusalCode::CardWithdrawn => "this card was withdrawn; ask for a new card",
        RefusalCode::Revoked => "this device no longer belongs to the wijk; ask whoever gave you the card",
        RefusalCode::NotMember | RefusalCode::NotReadable => "this device doesn't belong to the wijk",
        RefusalCode::Fork => "this device exists twice, perhaps from a copied folder; join again with a new card",
        RefusalCode::Gap | RefusalCode::UnknownSubject => "it misses entries of this device",
        RefusalCode::Form | RefusalCode::Signature | RefusalCode::OtherBody => "what this phone sent can't be placed",
        RefusalCode::Newer => "this program is too old to know why; install the newest one",
        RefusalCode::NotNow => "it can't store anything now; try again later",
    }
}
