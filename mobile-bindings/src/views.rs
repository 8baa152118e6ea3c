//! Views: what is here, looked at without waiting for the network. Each is a copy of this moment; [`Listener`](crate::Listener)
//! tells when to look again.

use samenspraak_core::app::{App, Joined};
use samenspraak_core::model::{Role as CoreRole, SpaceId, SubjectId};
use samenspraak_core::seal::ReceiptSecret;

use crate::{Contribution, Erasure, Me, Meeting, OwnSealed, SealedStory, Step, SyncState, Timeline, Wijk, WijkError};

/// Contributions that are given at once: a long screen, and some 40 ms on an old phone.
const PAGE_MAX: u32 = 1000;

pub(crate) fn subject(id: &str) -> Result<SubjectId, WijkError> {
    SubjectId::from_hex(id).ok_or_else(|| WijkError::invalid(format!("{id:?} is no id: 32 hexadecimal digits")))
}

pub(crate) fn joined(app: &mut App) -> Result<&mut Joined, WijkError> {
    app.joined_mut().ok_or(WijkError::NotJoined)
}

fn is_board(joined: &Joined) -> bool {
    joined.replica().members().roles(joined.identity().key().id()).contains(&CoreRole::Board)
}

fn none(what: &str, id: &str) -> WijkError {
    WijkError::NotFound { detail: format!("there is no {what} {id} on this device") }
}

#[uniffi::export]
impl Wijk {
    /// Who this device is; nothing before it joined.
    pub async fn me(&self) -> Result<Option<Me>, WijkError> {
        self.glance(|app| {
            Ok(app.joined().map(|joined| Me {
                wijk: joined.identity().wijk.to_string(),
                person: joined.person().to_string(),
                roles: joined
                    .replica()
                    .members()
                    .roles(joined.identity().key().id())
                    .into_iter()
                    .map(Into::into)
                    .collect(),
                server: joined.identity().server.clone(),
            }))
        })
        .await
    }

    /// How many contributions there are to show.
    pub async fn contribution_count(&self) -> Result<u32, WijkError> {
        self.look(|app| Ok(u32::try_from(joined(app)?.contribution_order().len()).unwrap_or(u32::MAX))).await
    }

    /// Contributions in the order the server received them, those it hasn't yet last: `count` of them from `first` on, at most
    /// 1,000.
    pub async fn contributions(&self, first: u32, count: u32) -> Result<Vec<Contribution>, WijkError> {
        self.look(move |app| {
            let joined = joined(app)?;
            let is_board = is_board(joined);
            let order = joined.contribution_order().into_iter().skip(first as usize).take(count.min(PAGE_MAX) as usize);
            let items = order.map(|subject| joined.contribution(subject));
            let found = items.filter_map(Result::transpose).map(|item| Ok(Contribution::of(item?, is_board)));
            found.collect()
        })
        .await
    }

    /// One contribution.
    pub async fn contribution(&self, id: String) -> Result<Contribution, WijkError> {
        self.look(move |app| {
            let joined = joined(app)?;
            let item = joined.contribution(subject(&id)?)?.ok_or_else(|| none("contribution", &id))?;
            Ok(Contribution::of(item, is_board(joined)))
        })
        .await
    }

    /// One contribution with all that happened to it.
    pub async fn timeline(&self, id: String) -> Result<Timeline, WijkError> {
        self.look(move |app| {
            let joined = joined(app)?;
            let line = joined.line(subject(&id)?)?.ok_or_else(|| none("contribution", &id))?;
            let is_board = is_board(joined);
            let steps = line.events.into_iter().map(|event| Step::of(event, is_board)).collect();
            Ok(Timeline { contribution: Contribution::of(line.item, is_board), steps })
        })
        .await
    }

    /// All meetings.
    pub async fn meetings(&self) -> Result<Vec<Meeting>, WijkError> {
        self.look(|app| Ok(joined(app)?.meetings()?.into_iter().map(Into::into).collect())).await
    }

    /// One meeting with its notes.
    pub async fn meeting(&self, id: String) -> Result<Meeting, WijkError> {
        self.look(move |app| {
            let found = joined(app)?.meeting(subject(&id)?)?;
            found.map(Into::into).ok_or_else(|| none("meeting", &id))
        })
        .await
    }

    /// Own sealed stories, with what was answered.
    pub async fn own_sealed(&self) -> Result<Vec<OwnSealed>, WijkError> {
        self.look(|app| Ok(joined(app)?.own_sealed()?.into_iter().map(Into::into).collect())).await
    }

    /// What was sealed for the board; nothing on devices of others.
    pub async fn sealed_stories(&self) -> Result<Vec<SealedStory>, WijkError> {
        self.look(|app| Ok(joined(app)?.sealed_items(SpaceId::Inbox)?.into_iter().map(Into::into).collect())).await
    }

    /// What was answered to the holder of a receipt, on any device of the wijk.
    pub async fn answers_for(&self, receipt: String) -> Result<Vec<String>, WijkError> {
        self.look(move |app| {
            let receipt = ReceiptSecret::parse(&receipt).map_err(|error| WijkError::invalid(error.to_string()))?;
            Ok(joined(app)?.answers_for(&receipt)?.into_iter().map(|answer| answer.answer).collect())
        })
        .await
    }

    /// How far an erasure reached, as the server last said; [`Wijk::ask_erasure`] asks it again.
    pub async fn erasure(&self, id: String) -> Result<Erasure, WijkError> {
        self.look(move |app| Ok(joined(app)?.erasure_report(subject(&id)?).into())).await
    }

    /// How this device and its server are.
    pub fn sync_state(&self) -> SyncState {
        self.state()
    }
}
