//! Views: what is here, looked at without waiting for the network. Each is a copy of this moment; [`Listener`](crate::Listener)
//! tells when to look again.

use crate::{
    Contribution, Erasure, Me, Meeting, OwnSealed, Present, SealedStory, SyncState, Timeline, Wijk, WijkError, looks,
};

#[uniffi::export]
impl Wijk {
    /// Who this device is; nothing before it joined.
    pub async fn me(&self) -> Result<Option<Me>, WijkError> {
        self.glance(|app| Ok(looks::me(app))).await
    }

    /// How many contributions there are to show.
    pub async fn contribution_count(&self) -> Result<u32, WijkError> {
        self.look(looks::contribution_count).await
    }

    /// Contributions in the order the server received them, those it hasn't yet last: `count` of them from `first` on, at most
    /// 1,000.
    pub async fn contributions(&self, first: u32, count: u32) -> Result<Vec<Contribution>, WijkError> {
        self.look(move |app| looks::contributions(app, first, count)).await
    }

    /// One contribution.
    pub async fn contribution(&self, id: String) -> Result<Contribution, WijkError> {
        self.look(move |app| looks::contribution(app, &id)).await
    }

    /// One contribution with all that happened to it.
    pub async fn timeline(&self, id: String) -> Result<Timeline, WijkError> {
        self.look(move |app| looks::timeline(app, &id)).await
    }

    /// All meetings.
    pub async fn meetings(&self) -> Result<Vec<Meeting>, WijkError> {
        self.look(looks::meetings).await
    }

    /// One meeting with its notes.
    pub async fn meeting(&self, id: String) -> Result<Meeting, WijkError> {
        self.look(move |app| looks::meeting(app, &id)).await
    }

    /// Others who look at this now: numbers, never who. Nothing without a line to the server, or when this device doesn't say that it
    /// looks ([`Wijk::attend`]).
    pub async fn present(&self, id: String) -> Result<Option<Present>, WijkError> {
        self.glance(move |app| looks::present(app, &id)).await
    }

    /// Own sealed stories, with what was answered.
    pub async fn own_sealed(&self) -> Result<Vec<OwnSealed>, WijkError> {
        self.look(looks::own_sealed).await
    }

    /// What was sealed for the board; nothing on devices of others.
    pub async fn sealed_stories(&self) -> Result<Vec<SealedStory>, WijkError> {
        self.look(looks::sealed_stories).await
    }

    /// What was answered to the holder of a receipt, on any device of the wijk.
    pub async fn answers_for(&self, receipt: String) -> Result<Vec<String>, WijkError> {
        self.look(move |app| looks::answers_for(app, &receipt)).await
    }

    /// How far an erasure reached, as the server last said; [`Wijk::ask_erasure`] asks it again.
    pub async fn erasure(&self, id: String) -> Result<Erasure, WijkError> {
        self.look(move |app| looks::erasure(app, &id)).await
    }

    /// How this device and its server are.
    pub fn sync_state(&self) -> SyncState {
        self.state()
    }
}
