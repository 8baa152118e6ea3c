//! Deciding and answering: the form, what people type in it, and the decision that follows. What can't be kept comes back
//! with everything that was typed.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use samenspraak_core::app::{Command, CommandError, OwnState, Reply};
use samenspraak_core::model::decision::{ANSWER_BYTES_MAX, PARTY_BYTES_MAX, REPLACES_MAX};
use samenspraak_core::model::{Decision, EntryId, Outcome, SubjectId};
use serde::Deserialize;

use super::Board;
use super::access::Visitor;
use super::contribution::{self, Shown};
use super::layout::{self, IntoPage};
use crate::date;
use crate::messages::{text, with};
use crate::phone::print::outcome_name;

/// Bytes of a form: its fields at their limits, each byte written as three.
pub(super) const FORM_BYTES_MAX: usize = 64 * 1024;
/// How long an answer waits to say "arrived": on the same machine that takes some milliseconds.
const ARRIVAL_PATIENCE: Duration = Duration::from_millis(1500);
/// A date further away is a slip of the finger.
const DUE_DAYS_MAX: u32 = 100 * 366;

/// What somebody typed, as it came.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed {
    secret: String,
    /// Ids of the decisions that stood on the page.
    seen: String,
    outcome: String,
    answer: String,
    reason: String,
    party: String,
    due: String,
}

/// What is wrong with it, for people; each message stands at its field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Problems {
    whole: Option<String>,
    outcome: Option<String>,
    answer: Option<String>,
    reason: Option<String>,
    party: Option<String>,
    due: Option<String>,
}

impl Problems {
    fn with_fields(&self) -> [(&'static str, &Option<String>); 5] {
        [
            ("outcome", &self.outcome),
            ("answer", &self.answer),
            ("reason", &self.reason),
            ("party", &self.party),
            ("due", &self.due),
        ]
    }

    fn any(&self) -> bool {
        self.whole.is_some() || self.with_fields().iter().any(|(_, problem)| problem.is_some())
    }

    fn of_whole(words: String) -> Self {
        Self { whole: Some(words), ..Self::default() }
    }
}

/// The words of a field: line ends as everywhere else, no space around.
fn words(typed: &str) -> String {
    typed.replace("\r\n", "\n").replace('\r', "\n").trim().to_owned()
}

fn needed(text: &str, missing: impl FnOnce() -> String, max: usize) -> Option<String> {
    if text.is_empty() { Some(missing()) } else { too_long(text, max) }
}

fn too_long(text: &str, max: usize) -> Option<String> {
    let over = text.len().saturating_sub(max);
    (over > 0).then(|| with("board-too-long", &[("over", over.into())]))
}

impl Typed {
    fn seen(&self) -> BTreeSet<EntryId> {
        self.seen.split_ascii_whitespace().filter_map(EntryId::from_hex).collect()
    }

    /// The decision that was typed.
    fn read(&self, about: SubjectId, standing: &[EntryId], today: u32) -> Result<Decision, Problems> {
        let (answer, reason, party) = (words(&self.answer), words(&self.reason), words(&self.party).replace('\n', " "));
        let outcome = Outcome::ALL.into_iter().find(|outcome| outcome_code(*outcome) == self.outcome);
        let mut problems = Problems {
            whole: None,
            outcome: outcome.is_none().then(|| text("board-outcome-missing")),
            answer: needed(&answer, || text("board-answer-missing"), ANSWER_BYTES_MAX),
            reason: needed(&reason, || text("board-reason-missing"), ANSWER_BYTES_MAX),
            party: too_long(&party, PARTY_BYTES_MAX),
            due: None,
        };
        let due_day = match self.due.trim() {
            "" => None,
            typed => match date::parse(typed) {
                Ok(day) if day < today => {
                    problems.due = Some(text("board-due-past"));
                    None
                }
                Ok(day) if day - today <= DUE_DAYS_MAX => Some(day),
                _ => {
                    problems.due = Some(text("board-due-wrong"));
                    None
                }
            },
        };
        match outcome {
            Some(outcome) if !problems.any() => {
                let replaces = standing.iter().copied().take(REPLACES_MAX).collect();
                Ok(Decision { about: vec![about], outcome, reason, answer, party, due_day, replaces })
            }
            _ => Err(problems),
        }
    }
}

/// An outcome in forms.
fn outcome_code(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Yes => "ja",
        Outcome::No => "nee",
        Outcome::Partly => "deels",
        Outcome::Later => "later",
    }
}

/// `POST /bestuur/inbreng/{id}`
pub(super) async fn decide(
    State(board): State<Board>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    form: Result<Form<Typed>, FormRejection>,
) -> Response {
    let Some(subject) = SubjectId::from_hex(&id) else { return layout::not_found() };
    let Ok(Form(typed)) = form else {
        return layout::problem(StatusCode::BAD_REQUEST, &text("board-form-odd"), &text("board-form-odd-what"));
    };
    let shown = match contribution::look(&board, subject).await {
        Ok(shown) => shown,
        Err(problem) => return problem,
    };
    let again = |status, shown: &Shown, problems: &Problems| {
        (status, contribution::render(shown, &visitor, &typed, problems, None)).into_page()
    };
    if !visitor.sent(&typed.secret) {
        // The server was started again since the page was opened, or somebody guesses. Nothing is written; the words stay.
        return again(StatusCode::FORBIDDEN, &shown, &Problems::of_whole(text("board-form-old")));
    }
    let standing = shown.standing();
    let decision = match typed.read(subject, &standing, date::today()) {
        Ok(decision) => decision,
        Err(problems) => return again(StatusCode::UNPROCESSABLE_ENTITY, &shown, &problems),
    };
    let same = contribution::decisions(&shown.line).find(|item| is_same(&item.facts.decision, &decision));
    if let Some(same) = same {
        // Sent twice.
        return to_saved(subject, same.facts.id);
    }
    if !standing.iter().all(|id| typed.seen().contains(id)) {
        return again(StatusCode::CONFLICT, &shown, &Problems::of_whole(text("board-decided-meanwhile")));
    }
    match board.command(Command::Decide(decision)).await {
        None => layout::stopping(),
        Some(Ok(Reply::Saved { id, .. })) => {
            wait_for_arrival(&board, id).await;
            to_saved(subject, id)
        }
        Some(Ok(_)) => Redirect::to(&layout::contribution_path(subject)).into_response(),
        Some(Err(CommandError::Unknown { .. })) => layout::not_found(),
        Some(Err(error)) => {
            tracing::error!(%error, "a decision was not saved");
            again(StatusCode::INTERNAL_SERVER_ERROR, &shown, &Problems::of_whole(text("board-not-saved")))
        }
    }
}

/// The same words to the same end, whatever they replace.
fn is_same(a: &Decision, b: &Decision) -> bool {
    let replaces = Vec::new();
    Decision { replaces: replaces.clone(), ..a.clone() } == Decision { replaces, ..b.clone() }
}

fn to_saved(subject: SubjectId, id: EntryId) -> Response {
    Redirect::to(&format!("{}?bewaard={id}", layout::contribution_path(subject))).into_response()
}

async fn wait_for_arrival(board: &Board, id: EntryId) {
    let mut changed = board.changed();
    let arrived = async {
        loop {
            changed.mark_unchanged();
            let state = board.look(move |app| app.joined().and_then(|joined| joined.state_of(id).ok().flatten())).await;
            if !matches!(state, Some(Some(OwnState::Saved | OwnState::OnTheWay))) || changed.changed().await.is_err() {
                return;
            }
        }
    };
    // The page says how far it got, whatever that is by then.
    let _ = tokio::time::timeout(ARRIVAL_PATIENCE, arrived).await;
}

/// What is wrong, above everything else, with links to the fields.
pub(super) fn summary(problems: &Problems) -> Markup {
    html! {
        @if problems.any() {
            div.notice.warning role="alert" tabindex="-1" autofocus {
                @match &problems.whole { Some(words) => p { (words) }, None => p { (text("board-form-problems")) } }
                ul {
                    @for (field, problem) in problems.with_fields() {
                        @if let Some(problem) = problem { li { a href={ "#" (field) } { (problem) } } }
                    }
                }
            }
        }
    }
}

/// The form. A field is called as in [`Typed`].
pub(super) fn form(shown: &Shown, visitor: &Visitor, typed: &Typed, problems: &Problems) -> Markup {
    let standing = shown.standing();
    let seen: Vec<String> = standing.iter().map(ToString::to_string).collect();
    html! {
        section aria-labelledby="form-title" {
            h2 #form-title { @if standing.is_empty() { (text("board-decide")) } @else { (text("board-decide-anew")) } }
            @if !standing.is_empty() {
                p { (with("board-replaces", &[("count", standing.len().into())])) }
            }
            form method="post" action=(layout::contribution_path(shown.line.item.subject)) novalidate {
                input type="hidden" name="secret" value=(visitor.form.as_str());
                input type="hidden" name="seen" value=(seen.join(" "));
                fieldset #outcome tabindex="-1" aria-describedby=[problems.outcome.is_some().then_some("outcome-problem")] {
                    legend { (text("board-outcome")) }
                    (said("outcome", &problems.outcome))
                    @for outcome in Outcome::ALL {
                        @let code = outcome_code(outcome);
                        label.choice {
                            input type="radio" name="outcome" value=(code) required checked[typed.outcome == code];
                            " " (text(outcome_name(outcome)))
                        }
                    }
                }
                (area("answer", &text("board-answer"), &text("board-answer-hint"), &typed.answer, &problems.answer))
                (area("reason", &text("board-reason"), &text("board-reason-hint"), &typed.reason, &problems.reason))
                (field("party", "text", &text("board-party"), &text("board-party-hint"), &typed.party, &problems.party))
                (field("due", "date", &text("board-due"), &text("board-due-hint"), &typed.due, &problems.due))
                p.quiet { (text("board-public")) }
                button type="submit" { (text("board-save")) }
            }
        }
    }
}

fn said(name: &str, problem: &Option<String>) -> Markup {
    html! { @if let Some(problem) = problem { p.problem id={ (name) "-problem" } { (problem) } } }
}

fn described_by(name: &str, problem: &Option<String>) -> String {
    if problem.is_some() { format!("{name}-problem {name}-hint") } else { format!("{name}-hint") }
}

fn area(name: &str, label: &str, hint: &str, typed: &str, problem: &Option<String>) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            p.hint id={ (name) "-hint" } { (hint) }
            (said(name, problem))
            // A line end behind the opening tag is dropped by browsers; one of somebody's words must not be.
            textarea id=(name) name=(name) rows="5" required aria-describedby=(described_by(name, problem))
                aria-invalid=[problem.is_some().then_some("true")] { "\n" (typed) }
        }
    }
}

fn field(name: &str, kind: &str, label: &str, hint: &str, typed: &str, problem: &Option<String>) -> Markup {
    // A browser empties a date field with other words in it; as text they stay to be mended.
    let kind = if kind == "date" && !typed.is_empty() && date::parse(typed).is_err() { "text" } else { kind };
    html! {
        div.field {
            label for=(name) { (label) }
            p.hint id={ (name) "-hint" } { (hint) }
            (said(name, problem))
            input id=(name) name=(name) type=(kind) value=(typed) aria-describedby=(described_by(name, problem))
                aria-invalid=[problem.is_some().then_some("true")];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed() -> Typed {
        Typed {
            outcome: "ja".into(),
            answer: " We komen\r\nkijken. ".into(),
            reason: "Vocht.".into(),
            party: "corporatie".into(),
            due: "2026-12-01".into(),
            ..Typed::default()
        }
    }

    const SUBJECT: SubjectId = SubjectId::new([1; 16]);
    /// 22 november 2026.
    const TODAY: u32 = 20_779;

    #[test]
    fn what_was_typed_becomes_a_decision_that_replaces_what_stood() {
        let standing = [EntryId::new([3; 32])];
        let decision = typed().read(SUBJECT, &standing, TODAY).unwrap();
        assert_eq!(decision.answer, "We komen\nkijken.");
        assert_eq!(decision.due_day, Some(TODAY + 9));
        assert_eq!((decision.about, decision.replaces), (vec![SUBJECT], standing.to_vec()));
        let without = Typed { party: " ".into(), due: String::new(), ..typed() }.read(SUBJECT, &[], TODAY).unwrap();
        assert_eq!((without.party.as_str(), without.due_day), ("", None));
    }

    #[test]
    fn each_problem_is_said_at_its_field() {
        let problem = |typed: Typed| typed.read(SUBJECT, &[], TODAY).unwrap_err();
        let empty = problem(Typed::default());
        assert!(empty.outcome.is_some() && empty.answer.is_some() && empty.reason.is_some());
        assert!(empty.party.is_none() && empty.due.is_none());
        assert!(problem(Typed { answer: " \n ".into(), ..typed() }).answer.is_some());
        // Two bytes a letter: the limit is in bytes.
        let long = problem(Typed { reason: "é".repeat(2049), ..typed() }).reason.unwrap();
        assert_eq!(long, with("board-too-long", &[("over", 2.into())]));
        assert!(problem(Typed { party: "x".repeat(201), ..typed() }).party.is_some());
        for due in ["2026-11-21", "gisteren", "9999-12-31", "2026-02-30"] {
            assert!(problem(Typed { due: due.into(), ..typed() }).due.is_some(), "{due}");
        }
        assert!(Typed { due: "2026-11-22".into(), ..typed() }.read(SUBJECT, &[], TODAY).is_ok());
    }
}
