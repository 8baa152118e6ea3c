//! Looking at what is here, for the surface of every language: from an app of the core to records of the surface.

use samenspraak_core::app::{App, Joined};
use samenspraak_core::model::{Role as CoreRole, SpaceId, SubjectId};
use samenspraak_core::seal::ReceiptSecret;

use crate::{Contribution, Erasure, Me, Meeting, OwnSealed, Present, SealedStory, Step, Timeline, WijkError};

/// Contributions that are given at once: a long screen, and some 40 ms on an old phone.
pub const PAGE_MAX: u32 = 1000;

/// What is seen, or why nothing is.
pub type Seen<T> = Result<T, WijkError>;

/// Reads an id.
///
/// # Errors
/// When it is none.
pub fn subject(id: &str) -> Seen<SubjectId> {
    SubjectId::from_hex(id).ok_or_else(|| WijkError::invalid(format!("{id:?} is no id: 32 hexadecimal digits")))
}

pub(crate) fn joined(app: &mut App) -> Seen<&mut Joined> {
    app.joined_mut().ok_or(WijkError::NotJoined)
}

fn is_board(joined: &Joined) -> bool {
    joined.replica().members().roles(joined.identity().key().id()).contains(&CoreRole::Board)
}

fn none(what: &str, id: &str) -> WijkError {
    WijkError::NotFound { detail: format!("there is no {what} {id} on this device") }
}

/// Who this device is.
#[must_use]
pub fn me(app: &App) -> Option<Me> {
    app.joined().map(|joined| Me {
        wijk: joined.identity().wijk.to_string(),
        person: joined.person().to_string(),
        roles: joined.replica().members().roles(joined.identity().key().id()).into_iter().map(Into::into).collect(),
        server: joined.identity().server.clone(),
    })
}

/// How many contributions there are to show.
///
/// # Errors
/// When this device hasn't joined, its store can't be read, an id is none, or there is nothing with it; so below.
pub fn contribution_count(app: &mut App) -> Seen<u32> {
    Ok(u32::try_from(joined(app)?.contribution_order().len()).unwrap_or(u32::MAX))
}

/// Some contributions, in order; at most [`PAGE_MAX`].
///
/// # Errors
/// See [`contribution_count`].
pub fn contributions(app: &mut App, first: u32, count: u32) -> Seen<Vec<Contribution>> {
    let joined = joined(app)?;
    let is_board = is_board(joined);
    let order = joined.contribution_order();
    let page = order.iter().skip(first as usize).take(count.min(PAGE_MAX) as usize);
    let items = page.map(|subject| joined.contribution(*subject));
    items.filter_map(Result::transpose).map(|item| Ok(Contribution::of(item?, is_board))).collect()
}

/// One contribution.
///
/// # Errors
/// See [`contribution_count`].
pub fn contribution(app: &mut App, id: &str) -> Seen<Contribution> {
    let joined = joined(app)?;
    let item = joined.contribution(subject(id)?)?.ok_or_else(|| none("contribution", id))?;
    Ok(Contribution::of(item, is_board(joined)))
}

/// One contribution with all that happened to it.
///
/// # Errors
/// See [`contribution_count`].
pub fn timeline(app: &mut App, id: &str) -> Seen<Timeline> {
    let joined = joined(app)?;
    let line = joined.line(subject(id)?)?.ok_or_else(|| none("contribution", id))?;
    let is_board = is_board(joined);
    let steps = line.events.into_iter().map(|event| Step::of(event, is_board)).collect();
    Ok(Timeline { contribution: Contribution::of(line.item, is_board), steps })
}

/// All meetings.
///
/// # Errors
/// See [`contribution_count`].
pub fn meetings(app: &mut App) -> Seen<Vec<Meeting>> {
    Ok(joined(app)?.meetings()?.into_iter().map(Into::into).collect())
}

/// One meeting.
///
/// # Errors
/// See [`contribution_count`].
pub fn meeting(app: &mut App, id: &str) -> Seen<Meeting> {
    let found = joined(app)?.meeting(subject(id)?)?;
    found.map(Into::into).ok_or_else(|| none("meeting", id))
}

/// Others who look at this now; nothing without a line to the server, or when this device doesn't say that it looks.
///
/// # Errors
/// When the id is none.
pub fn present(app: &App, id: &str) -> Seen<Option<Present>> {
    Ok(app.present(subject(id)?).map(Into::into))
}

/// Own sealed stories.
///
/// # Errors
/// See [`contribution_count`].
pub fn own_sealed(app: &mut App) -> Seen<Vec<OwnSealed>> {
    Ok(joined(app)?.own_sealed()?.into_iter().map(Into::into).collect())
}

/// What was sealed for the board.
///
/// # Errors
/// See [`contribution_count`].
pub fn sealed_stories(app: &mut App) -> Seen<Vec<SealedStory>> {
    Ok(joined(app)?.sealed_items(SpaceId::Inbox)?.into_iter().map(Into::into).collect())
}

/// What was answered to the holder of a receipt.
///
/// # Errors
/// See [`contribution_count`].
pub fn answers_for(app: &mut App, receipt: &str) -> Seen<Vec<String>> {
    let receipt = ReceiptSecret::parse(receipt).map_err(|error| WijkError::invalid(error.to_string()))?;
    Ok(joined(app)?.answers_for(&receipt)?.into_iter().map(|answer| answer.answer).collect())
}

/// How far an erasure reached.
///
/// # Errors
/// See [`contribution_count`].
pub fn erasure(app: &mut App, id: &str) -> Seen<Erasure> {
    Ok(joined(app)?.erasure_report(subject(id)?).into())
}
