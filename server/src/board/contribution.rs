//! One contribution: its words, its whole line, and the form to decide and answer.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use maud::{Markup, html};
use samenspraak_core::app::moderate::RulingItem;
use samenspraak_core::app::{App, DecisionItem, Line, LineEvent, OwnState};
use samenspraak_core::model::{EntryId, SubjectId};
use samenspraak_core::replica::ReplicaError;
use samenspraak_core::view::Counts;

use super::Board;
use super::access::Visitor;
use super::decide::{self, Problems, Typed};
use super::layout::{self, Here, IntoPage, Names};
use super::queue::Standing;
use crate::messages::{self, text, with};
use crate::phone::{moderate, print};

/// What one page shows, read at once.
pub(super) struct Shown {
    names: Names,
    pub(super) line: Line,
    /// Titles of the other contributions that decisions here are also about; none of those that are gone.
    titles: BTreeMap<SubjectId, String>,
    /// How far decisions of this device got.
    states: BTreeMap<EntryId, OwnState>,
}

impl Shown {
    /// Reads it; `None` when the contribution isn't here or was erased.
    pub(super) fn read(app: &mut App, subject: SubjectId) -> Result<Option<Self>, ReplicaError> {
        let Some(joined) = app.joined_mut() else { return Ok(None) };
        let Some(line) = joined.line(subject)? else { return Ok(None) };
        let (mut titles, mut states) = (BTreeMap::new(), BTreeMap::new());
        for decision in decisions(&line) {
            if let Some(state) = joined.state_of(decision.facts.id)? {
                states.insert(decision.facts.id, state);
            }
            for other in decision.facts.decision.about.iter().filter(|about| **about != subject) {
                if let Some(line) = joined.line(*other)? {
                    titles.insert(*other, line.item.content.title);
                }
            }
        }
        Ok(Some(Self { names: Names::of(joined), line, titles, states }))
    }

    /// The decisions that stand.
    pub(super) fn standing(&self) -> Vec<EntryId> {
        decisions(&self.line).map(|decision| decision.facts.id).collect()
    }
}

pub(super) fn decisions(line: &Line) -> impl Iterator<Item = &DecisionItem> {
    line.events.iter().filter_map(|event| match event {
        LineEvent::Decided(decision) => Some(decision),
        _ => None,
    })
}

/// Asks the device for one contribution.
pub(super) async fn look(board: &Board, subject: SubjectId) -> Result<Shown, Response> {
    match board.look(move |app| Shown::read(app, subject)).await {
        None => Err(layout::stopping()),
        Some(Err(error)) => Err(layout::unreadable(&error)),
        Some(Ok(None)) => Err(layout::not_found()),
        Some(Ok(Some(shown))) => Ok(shown),
    }
}

/// `GET /bestuur/inbreng/{id}`
pub(super) async fn show(
    State(board): State<Board>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(subject) = SubjectId::from_hex(&id) else { return layout::not_found() };
    let saved = query.get("bewaard").and_then(|id| EntryId::from_hex(id));
    match look(&board, subject).await {
        Ok(shown) => render(&shown, &visitor, &Typed::default(), &Problems::default(), saved).into_page(),
        Err(problem) => problem,
    }
}

/// The page; `typed` stands in the form, `problems` beside its fields, and `saved` is a decision that was just made.
pub(super) fn render(
    shown: &Shown,
    visitor: &Visitor,
    typed: &Typed,
    problems: &Problems,
    saved: Option<EntryId>,
) -> Markup {
    let item = &shown.line.item;
    let body = html! {
        p { a href="/bestuur" { (text("board-to-queue")) } }
        div #saved data-live role="status" { @if let Some(state) = saved.and_then(|id| shown.states.get(&id)) { (notice(*state)) } }
        (decide::summary(problems))
        div #contribution data-live {
            h1 { (layout::title(&item.content.title)) }
            p.facts {
                (shown.names.theme(item.content.theme)) " · " bdi { (shown.names.buurt(&item.content.buurt)) }
                " · " (Standing::of(item.decisions).badge())
            }
            (layout::words(&item.content.text))
            section aria-labelledby="line-title" {
                h2 #line-title { (text("board-line")) }
                ol.line { @for event in &shown.line.events { (self::event(shown, event)) } }
            }
        }
        (decide::form(shown, visitor, typed, problems))
    };
    layout::page(&item.content.title, &shown.names, Here::Below, &body)
}

/// What is true of a decision that was just made, and no more.
fn notice(state: OwnState) -> Markup {
    match state {
        OwnState::Saved | OwnState::OnTheWay => html! { p.notice { (text("board-saved-here")) } },
        OwnState::Arrived { day } => {
            html! { p.notice { (with("board-saved-arrived", &[("day", messages::day(day).into())])) } }
        }
        OwnState::Refused(reason) => {
            let reason = text(print::reason_name(reason));
            html! { p.notice.warning { (with("board-saved-refused", &[("reason", reason.into())])) } }
        }
    }
}

fn event(shown: &Shown, event: &LineEvent) -> Markup {
    match event {
        LineEvent::Written(state) => html! { li { (print::state(*state)) } },
        LineEvent::Received { day } => {
            html! { li { (with("phone-received", &[("day", messages::day(*day).into())])) } }
        }
        LineEvent::Replaced => html! { li { (text("phone-replaced")) } },
        LineEvent::Voices(counts) => html! { li { (voices(*counts)) } },
        LineEvent::Ruled(item) => html! { li { (ruled(item)) } },
        LineEvent::ErasureSigned { ground, day } => {
            html! { li { (moderate::erasure_signed(*day)) ". " bdi { (moderate::ground(ground)) } } }
        }
        LineEvent::NotAgreed => html! { li.warning { b { (text("board-not-agreed")) } } },
        LineEvent::Decided(decision) => html! { li.decision { (decided(shown, decision)) } },
    }
}

fn ruled(item: &RulingItem) -> Markup {
    let ruling = &item.facts.ruling;
    html! {
        p { b { (moderate::ruled(item)) } }
        p { bdi { (moderate::ground(&ruling.ground)) } }
        dl {
            dt { (text("board-reason")) }
            dd { (layout::words(&ruling.reason)) }
        }
    }
}

fn voices(counts: Counts) -> String {
    let values = [
        ("support", counts.support.into()),
        ("agree", counts.agree.into()),
        ("disagree", counts.disagree.into()),
        ("pass", counts.pass.into()),
    ];
    with("phone-voices", &values)
}

fn decided(shown: &Shown, item: &DecisionItem) -> Markup {
    let decision = &item.facts.decision;
    let others: Vec<_> = shown.titles.iter().filter(|(subject, _)| decision.about.contains(subject)).collect();
    let outcome = text(print::outcome_name(decision.outcome));
    html! {
        p {
            b {
                @match item.day {
                    Some(day) => (with("phone-decided-on", &[("day", messages::day(day).into()), ("outcome", outcome.into())])),
                    None => (with("phone-decided", &[("outcome", outcome.into())])),
                }
            }
            @match shown.states.get(&item.facts.id) {
                None | Some(OwnState::Arrived { .. }) => {},
                Some(state) => { " (" (print::state(*state)) ")" }
            }
        }
        dl {
            dt { (text("board-answer")) }
            dd { (layout::words(&decision.answer)) }
            dt { (text("board-reason")) }
            dd { (layout::words(&decision.reason)) }
            @if !decision.party.is_empty() {
                dt { (text("board-party")) }
                dd { bdi { (decision.party) } }
            }
            @if let Some(day) = decision.due_day {
                dt { (text("board-due")) }
                dd { (layout::day(day)) }
            }
            @if !others.is_empty() {
                dt { (text("board-also-about")) }
                dd { ul { @for (subject, title) in others { li {
                    a href=(layout::contribution_path(*subject)) { (layout::title(title)) }
                } } } }
            }
        }
    }
}
