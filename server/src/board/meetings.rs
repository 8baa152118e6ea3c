//! Meetings: a list, and one meeting's notes, to read.

use axum::extract::{Path, State};
use axum::response::Response;
use maud::html;
use samenspraak_core::model::SubjectId;
use samenspraak_core::replica::ReplicaError;

use super::Board;
use super::layout::{self, Here, IntoPage, Names};
use crate::messages::{text, with};

/// `GET /bestuur/bijeenkomsten`
pub(super) async fn list(State(board): State<Board>) -> Response {
    let looked = board.look(|app| {
        let Some(joined) = app.joined_mut() else { return Ok((Names::default(), Vec::new())) };
        Ok((Names::of(joined), joined.meetings()?))
    });
    let (names, meetings) = match looked.await {
        None => return layout::stopping(),
        Some(Err::<_, ReplicaError>(error)) => return layout::unreadable(&error),
        Some(Ok(looked)) => looked,
    };
    let title = text("board-meetings");
    let body = html! {
        h1 { (title) }
        div #meetings data-live {
            @if meetings.is_empty() { p { (text("board-meetings-empty")) } }
            ul.meetings {
                @for meeting in &meetings {
                    li {
                        a id={ "m" (meeting.subject) } href={ "/bestuur/bijeenkomsten/" (meeting.subject) } {
                            (layout::title(&meeting.text.title))
                        }
                        " – " (with("board-meeting-items", &[("count", meeting.text.agenda.len().into())]))
                    }
                }
            }
        }
    };
    layout::page(&title, &names, Here::Meetings, &body).into_page()
}

/// `GET /bestuur/bijeenkomsten/{id}`
pub(super) async fn show(State(board): State<Board>, Path(id): Path<String>) -> Response {
    let Some(subject) = SubjectId::from_hex(&id) else { return layout::not_found() };
    let looked = board.look(move |app| {
        let Some(joined) = app.joined_mut() else { return Ok((Names::default(), None)) };
        Ok((Names::of(joined), joined.meeting(subject)?))
    });
    let (names, meeting) = match looked.await {
        None => return layout::stopping(),
        Some(Err::<_, ReplicaError>(error)) => return layout::unreadable(&error),
        Some(Ok((_, None))) => return layout::not_found(),
        Some(Ok((names, Some(meeting)))) => (names, meeting),
    };
    let notes = meeting.text;
    let body = html! {
        p { a href="/bestuur/bijeenkomsten" { (text("board-to-meetings")) } }
        div #notes data-live {
            h1 { (layout::title(&notes.title)) }
            @if notes.agenda.is_empty() { p { (text("board-notes-empty")) } }
            ol.agenda {
                @for item in &notes.agenda {
                    li {
                        h2 { (layout::title(&item.title)) }
                        @if item.text.trim().is_empty() { p.quiet { (text("board-notes-none")) } }
                        @else { (layout::words(&item.text)) }
                    }
                }
            }
        }
    };
    layout::page(&notes.title, &names, Here::Below, &body).into_page()
}
