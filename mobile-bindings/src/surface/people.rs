//! Who this device is, and what people are.

use samenspraak_core::model;
#[cfg(feature = "typescript")]
use serde::{Deserialize, Serialize};
#[cfg(feature = "typescript")]
use tsify::Tsify;

/// What somebody is in the wijk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Enum))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub enum Role {
    /// Lives in the wijk.
    Resident,
    /// Leads meetings and hands out cards.
    Facilitator,
    /// Sits on the board and answers.
    Board,
    /// Keeps the server and the wijk's directory.
    Administrator,
    /// Signs agreements for an organisation.
    Party,
}

impl From<model::Role> for Role {
    fn from(role: model::Role) -> Self {
        match role {
            model::Role::Resident => Self::Resident,
            model::Role::Facilitator => Self::Facilitator,
            model::Role::Board => Self::Board,
            model::Role::Administrator => Self::Administrator,
            model::Role::Party => Self::Party,
        }
    }
}

impl From<Role> for model::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Resident => Self::Resident,
            Role::Facilitator => Self::Facilitator,
            Role::Board => Self::Board,
            Role::Administrator => Self::Administrator,
            Role::Party => Self::Party,
        }
    }
}

/// Who this device is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Record))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub struct Me {
    /// The wijk.
    pub wijk: String,
    /// The person's pseudonym.
    pub person: String,
    /// What the person is here, as far as this device knows; nothing before the first sync.
    pub roles: Vec<Role>,
    /// Address of the server, as it stands on the card.
    pub server: String,
}
