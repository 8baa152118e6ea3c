//! What the terminal phone prints, in the words of the message file.

use samenspraak_core::app::{DecisionItem, Line, LineEvent, OwnState, Reply};
use samenspraak_core::gate::Reason;
use samenspraak_core::model::{Outcome, SubjectId, WijkId};
use samenspraak_core::store::log::Epoch;

use super::{moderate, people};
use crate::client::{Driver, SyncError};
use crate::error::ProgramError;
use crate::messages;

/// Characters of an id in lists: enough to tell hundreds of thousands apart, short enough to type.
pub(super) const ID_CHARS: usize = 12;

/// The state of own words, in words.
pub(crate) fn state(state: OwnState) -> String {
    match state {
        OwnState::Saved => messages::text("state-saved"),
        OwnState::OnTheWay => messages::text("state-on-the-way"),
        OwnState::Arrived { day } => messages::with("state-arrived-on", &[("day", messages::day(day).into())]),
        OwnState::Refused(reason) => {
            messages::with("state-refused", &[("reason", messages::text(reason_name(reason)).into())])
        }
    }
}

/// What a phone has seen of its server.
#[derive(PartialEq, Eq)]
pub(super) struct ServerSeen {
    epoch: Option<Epoch>,
    broken: usize,
}

impl ServerSeen {
    pub(super) fn of(phone: &Driver) -> Self {
        let joined = phone.app().joined();
        Self {
            epoch: joined.and_then(samenspraak_core::app::Joined::server_epoch),
            broken: joined.map_or(0, |joined| joined.broken_histories().len()),
        }
    }
}

/// What a sync showed of the server: that it began again, or that it showed less than it had confirmed.
pub(super) fn server_news(before: &ServerSeen, phone: &Driver) {
    let now = ServerSeen::of(phone);
    if now.broken > before.broken {
        say!("{}", messages::text("server-went-back"));
    }
    if before.epoch.is_some() && now.epoch != before.epoch {
        say!("{}", messages::text("server-began-again"));
    }
}

/// Whether the server ever showed less than it had confirmed.
pub(super) fn server(phone: &Driver) {
    let went_back = ServerSeen::of(phone).broken > 0;
    say!("{}", if went_back { messages::text("server-went-back") } else { messages::text("server-never-went-back") });
}

/// The name of a reason in the message file.
pub(crate) fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Owner => "reason-not-yours",
        Reason::Rank | Reason::NotErasable | Reason::Final => "reason-not-allowed",
        Reason::SubjectRefused => "reason-erased",
        Reason::CardUsed => "reason-card-used",
        _ => "reason-other",
    }
}

/// The name of an outcome in the message file.
#[must_use]
pub(crate) fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Yes => "outcome-yes",
        Outcome::No => "outcome-no",
        Outcome::Partly => "outcome-partly",
        Outcome::Later => "outcome-later",
    }
}

/// An id as lists show it.
pub(super) fn short(subject: SubjectId) -> String {
    subject.to_string()[..ID_CHARS].to_owned()
}

pub(super) fn joined(wijk: WijkId) {
    say!("{}", messages::with("phone-joined", &[("wijk", wijk.to_string().into())]));
}

pub(super) fn saved(_phone: &Driver, reply: &Reply) -> Result<(), ProgramError> {
    match reply {
        Reply::Saved { subject, .. } | Reply::Unchanged { subject } => {
            say!("{subject}  {}", messages::text("state-saved"));
        }
        Reply::Erased { subject } => say!("{subject}  {}", messages::text("sealed-erasing")),
        _ => {}
    }
    Ok(())
}

pub(super) fn list(phone: &mut Driver) -> Result<(), ProgramError> {
    let joined = phone.app_mut().joined_mut().ok_or(SyncError::NotJoined)?;
    let items = joined.contributions()?;
    let refused = joined.refused()?;
    let left = joined.left_behind()?;
    if let Some(reason) = joined.revoked() {
        say!("{}", messages::with("phone-revoked", &[("why", people::why(reason).into())]));
    }
    if items.is_empty() && refused.is_empty() {
        say!("{}", messages::text("phone-nothing"));
    }
    for item in items {
        let own = item.own.map(|own| format!("  [{}]", state(own))).unwrap_or_default();
        let hidden = item.hidden.map(|_| format!("  [{}]", messages::text("ruling-hide"))).unwrap_or_default();
        say!("{}  {}{own}{hidden}", &item.subject.to_string()[..ID_CHARS], one_line(&item.content.title));
    }
    for (id, content) in joined.set_aside_words()? {
        let state = messages::with("state-refused", &[("reason", messages::text("reason-cloned").into())]);
        say!("{}  {}  [{state}]", &id.to_string()[..ID_CHARS], one_line(&content.title));
        say!("  {}", lines(&content.text));
    }
    for (_, id, reason) in refused {
        say!("{}  [{}]", &id.to_string()[..ID_CHARS], state(OwnState::Refused(reason)));
    }
    for item in left {
        let title = item.content.map(|content| one_line(&content.title)).unwrap_or_default();
        say!("{}  {title}  [{}]", short(item.subject), messages::text("phone-left-behind"));
    }
    Ok(())
}

/// One line of somebody's words: no control characters reach the terminal.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Several lines of somebody's words.
pub(super) fn lines(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

pub(super) fn line(line: &Line) {
    say!("{}", one_line(&line.item.content.title));
    say!("{}", lines(&line.item.content.text));
    say!("");
    for event in &line.events {
        match event {
            LineEvent::Written(own) => say!("- {}", state(*own)),
            LineEvent::Received { day } => {
                say!("- {}", messages::with("phone-received", &[("day", messages::day(*day).into())]));
            }
            LineEvent::Replaced => say!("- {}", messages::text("phone-replaced")),
            LineEvent::Voices(counts) => {
                let values = [
                    ("support", counts.support.into()),
                    ("agree", counts.agree.into()),
                    ("disagree", counts.disagree.into()),
                    ("pass", counts.pass.into()),
                ];
                say!("- {}", messages::with("phone-voices", &values));
            }
            LineEvent::Ruled(item) => moderate::print_ruling(item, line.item.hidden.as_ref()),
            LineEvent::ErasureSigned { ground, day } => {
                say!("- {}", moderate::erasure_signed(*day));
                say!("  {}", moderate::ground(ground));
            }
            LineEvent::NotAgreed => say!("- {}", messages::text("phone-not-agreed")),
            LineEvent::Decided(decision) => decided(decision),
        }
    }
}

fn decided(item: &DecisionItem) {
    let decision = &item.facts.decision;
    let outcome = messages::text(outcome_name(decision.outcome));
    match item.day {
        Some(day) => {
            let values = [("day", messages::day(day).into()), ("outcome", outcome.into())];
            say!("- {}", messages::with("phone-decided-on", &values));
        }
        None => say!("- {}", messages::with("phone-decided", &[("outcome", outcome.into())])),
    }
    say!("  {}", messages::with("phone-reason", &[("reason", one_line(&decision.reason).into())]));
    if !decision.party.is_empty() {
        say!("  {}", messages::with("phone-party", &[("party", one_line(&decision.party).into())]));
    }
    if let Some(day) = decision.due_day {
        say!("  {}", messages::with("phone-due", &[("day", messages::day(day).into())]));
    }
    say!("  {}", messages::with("phone-answer", &[("answer", one_line(&decision.answer).into())]));
}

pub(super) fn meetings(phone: &mut Driver) -> Result<(), ProgramError> {
    let joined = phone.app_mut().joined_mut().ok_or(SyncError::NotJoined)?;
    let items = joined.meetings()?;
    if items.is_empty() {
        say!("{}", messages::text("phone-no-meetings"));
    }
    for item in items {
        let own = item.own.map(|own| format!("  [{}]", state(own))).unwrap_or_default();
        say!("{}  {}{own}", &item.subject.to_string()[..ID_CHARS], one_line(&item.text.title));
    }
    Ok(())
}

/// `with_heads`: for whoever compares phones.
pub(super) fn meeting(phone: &mut Driver, subject: SubjectId, with_heads: bool) -> Result<(), ProgramError> {
    let joined = phone.app_mut().joined_mut().ok_or(SyncError::NotJoined)?;
    let Some(item) = joined.meeting(subject)? else { return Ok(()) };
    say!("{}", one_line(&item.text.title));
    if let Some(old) = item.replaces {
        say!("{}", messages::with("meeting-replaces", &[("id", short(old).into())]));
    }
    if let Some(new) = item.replaced_by {
        say!("{}", messages::with("meeting-replaced-by", &[("id", short(new).into())]));
    }
    for (at, note) in item.text.agenda.iter().enumerate() {
        say!("\n{}. {}", at + 1, one_line(&note.title));
        if !note.text.is_empty() {
            say!("{}", lines(&note.text));
        }
    }
    if with_heads {
        let heads: Vec<String> = item.heads.iter().map(ToString::to_string).collect();
        say!("\nheads: {}", heads.join(" "));
    }
    Ok(())
}
