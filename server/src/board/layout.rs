//! What all pages of the board share: the frame around them, their headers, and pages that say what went wrong.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use samenspraak_core::app::Joined;
use samenspraak_core::model::SubjectId;

use crate::messages::{self, text, with};

/// Nothing from elsewhere, nothing inline, in no frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Names of the wijk, from its directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) wijk: String,
    pub(super) themes: BTreeMap<u64, String>,
    buurten: BTreeMap<String, String>,
}

impl Names {
    /// What this device knows of them.
    pub(super) fn of(joined: &Joined) -> Self {
        let Some(directory) = joined.replica().members().directory() else { return Self::default() };
        Self {
            wijk: directory.name.clone(),
            themes: directory.themes.iter().map(|theme| (theme.number, theme.name.clone())).collect(),
            buurten: directory.buurten.iter().map(|b| (b.code.as_str().to_owned(), b.name.clone())).collect(),
        }
    }

    pub(super) fn theme(&self, number: u64) -> String {
        let known = self.themes.get(&number).cloned();
        known.unwrap_or_else(|| with("board-theme-unknown", &[("number", number.into())]))
    }

    /// A code nobody knows is shown as it is: somebody chose it.
    pub(super) fn buurt(&self, code: &str) -> String {
        match self.buurten.get(code) {
            Some(name) => name.clone(),
            None if code.is_empty() => text("board-no-buurt"),
            None => code.to_owned(),
        }
    }
}

/// Which page of the menu this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Queue,
    Meetings,
    Below,
    /// Before the door: no menu, for nothing in it would open.
    Outside,
}

/// A whole page.
pub(super) fn page(title: &str, names: &Names, here: Here, body: &Markup) -> Markup {
    let current = |page| (here == page).then_some("page");
    html! {
        (DOCTYPE)
        html lang="nl" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · " (text("board-name")) }
                link rel="icon" type="image/svg+xml" href="/bestuur/assets/icon.svg";
                link rel="stylesheet" href="/bestuur/assets/board.css";
                script src="/bestuur/assets/board.js" defer {}
            }
            body {
                a.skip href="#main" { (text("board-skip")) }
                header.top {
                    p.wijk {
                        @if names.wijk.is_empty() { (text("board-name")) }
                        @else { (with("board-name-of", &[("wijk", names.wijk.as_str().into())])) }
                    }
                    @if here != Here::Outside { nav aria-label=(text("board-menu")) {
                        a href="/bestuur" aria-current=[current(Here::Queue)] { (text("board-queue")) }
                        a href="/bestuur/bijeenkomsten" aria-current=[current(Here::Meetings)] { (text("board-meetings")) }
                    } }
                }
                p #stale .notice.warning role="status" hidden { (text("board-stale")) }
                main #main tabindex="-1" { (body) }
            }
        }
    }
}

/// A page that says what went wrong and what to do.
pub(super) fn problem(status: StatusCode, title: &str, words: &str) -> Response {
    let here = if status == StatusCode::FORBIDDEN { Here::Outside } else { Here::Below };
    let body = html! {
        h1 { (title) }
        p { (words) }
        @if here != Here::Outside { p { a href="/bestuur" { (text("board-to-queue")) } } }
    };
    (status, page(title, &Names::default(), here, &body)).into_page()
}

pub(super) fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, &text("board-not-found"), &text("board-not-found-what"))
}

pub(super) fn stopping() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, &text("board-stopping"), &text("board-stopping-what"))
}

/// The cause goes to the log, a fixed sentence to the page.
pub(super) fn unreadable(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "the board page can't read its store");
    problem(StatusCode::INTERNAL_SERVER_ERROR, &text("board-broken"), &text("board-broken-what"))
}

/// Turns markup into an answer.
pub(super) trait IntoPage {
    fn into_page(self) -> Response;
}

impl IntoPage for Markup {
    fn into_page(self) -> Response {
        Html(self.into_string()).into_response()
    }
}

impl IntoPage for (StatusCode, Markup) {
    fn into_page(self) -> Response {
        (self.0, Html(self.1.into_string())).into_response()
    }
}

/// Headers of every answer.
pub(super) async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Other sites learn nothing. "no-referrer" would also hide from our own server where a form comes from, on which it
    // relies where browsers send no `Sec-Fetch-Site`.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Somebody's title, or words that say it has none; isolated, so that letters that run the other way change only it.
pub(super) fn title(words: &str) -> Markup {
    html! { @if words.trim().is_empty() { i { (text("board-no-title")) } } @else { bdi { (words) } } }
}

/// Somebody's words with their line breaks.
pub(super) fn words(words: &str) -> Markup {
    html! { p.words dir="auto" { (words) } }
}

/// A day as people and programs read it.
pub(super) fn day(day: u32) -> Markup {
    html! { time datetime=(crate::date::date(day)) { (messages::day(day)) } }
}

pub(super) fn contribution_path(subject: SubjectId) -> String {
    format!("/bestuur/inbreng/{subject}")
}
