//! What only the board can read, and what was answered.

use samenspraak_core::app::{OwnSealedItem, SealedItem};
use samenspraak_core::model::SealedWords;
#[cfg(feature = "typescript")]
use serde::{Deserialize, Serialize};
#[cfg(feature = "typescript")]
use tsify::Tsify;

use super::{Content, Progress};

/// A sealed story as a member of the board reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Record))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub struct SealedStory {
    /// Its id.
    pub id: String,
    /// Day the server received it.
    pub received_day: Option<u32>,
    /// What it says; nothing while this device has no key to it.
    pub content: Option<Content>,
    /// How many answers were given.
    pub answers: u32,
}

impl From<SealedItem> for SealedStory {
    fn from(item: SealedItem) -> Self {
        Self {
            id: item.subject.to_string(),
            received_day: item.day,
            content: item.words.and_then(story),
            answers: u32::try_from(item.answers).unwrap_or(u32::MAX),
        }
    }
}

/// The words of anything sealed; nothing where what is sealed is no words. A notice and an appeal have no title.
fn story(words: SealedWords) -> Option<Content> {
    match words {
        SealedWords::Story { content, .. } => Some(content.into()),
        SealedWords::Notice { text, .. } | SealedWords::Appeal { text, .. } | SealedWords::Note { text, .. } => {
            Some(Content { text, ..Content::default() })
        }
        SealedWords::PersonSecret(_) => None,
    }
}

/// Own sealed input, with what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Record))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub struct OwnSealed {
    /// Its id.
    pub id: String,
    /// What it says; nothing once it is erased.
    pub content: Option<Content>,
    /// How far it got.
    pub progress: Progress,
    /// The receipt: 28 letters with which answers are found on any phone.
    pub receipt: String,
    /// What was answered.
    pub answers: Vec<String>,
}

impl From<OwnSealedItem> for OwnSealed {
    fn from(item: OwnSealedItem) -> Self {
        Self {
            id: item.subject.to_string(),
            content: item.words.and_then(story),
            progress: item.state.into(),
            receipt: item.receipt.letters(),
            answers: item.answers.into_iter().map(|answer| answer.answer).collect(),
        }
    }
}
