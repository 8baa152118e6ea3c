//! Which address leads where, and what every request passes on its way.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use futures_util::Stream;

use super::{Board, access, contribution, decide, layout, meetings, queue};
use crate::messages::text;
use crate::serve::requests::Encrypted;

/// Pages are told of changes at most this often, however many voices come in.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// The page's routes.
pub fn routes(board: Board) -> Router {
    let inside = Router::new()
        .route("/bestuur", get(queue::show))
        .route("/bestuur/", get(|| async { Redirect::permanent("/bestuur") }))
        .route("/bestuur/inbreng/{id}", get(contribution::show).post(decide::decide))
        .route("/bestuur/bijeenkomsten", get(meetings::list))
        .route("/bestuur/bijeenkomsten/{id}", get(meetings::show))
        .route("/bestuur/live", get(live))
        .route("/bestuur/{*other}", any(|| async { layout::not_found() }))
        .layer(DefaultBodyLimit::max(decide::FORM_BYTES_MAX))
        .layer(from_fn_with_state(board.clone(), guard));
    Router::new()
        .route("/bestuur/open/{token}", get(open))
        .route("/bestuur/assets/{name}", get(asset))
        .merge(inside)
        .layer(map_response(layout::protect))
        .with_state(board)
}

/// Lets nobody through who may not see the page, and nothing that another site sends.
async fn guard(State(board): State<Board>, request: Request, next: Next) -> Response {
    if board.is_waiting {
        let (title, words) = (text("board-refilling"), text("board-refilling-what"));
        return layout::problem(StatusCode::SERVICE_UNAVAILABLE, &title, &words);
    }
    let (mut parts, body) = request.into_parts();
    let Some(visitor) = board.access.visitor(&parts, Instant::now()) else {
        return layout::problem(StatusCode::FORBIDDEN, &text("board-no-entry"), &text("board-no-entry-what"));
    };
    if !access::is_from_own_page(&parts) {
        return layout::problem(StatusCode::FORBIDDEN, &text("board-other-site"), &text("board-other-site-what"));
    }
    parts.extensions.insert(visitor);
    next.run(Request::from_parts(parts, body)).await
}

/// `GET /bestuur/open/{token}`
async fn open(State(board): State<Board>, Path(token): Path<String>, request: Request) -> Response {
    // A program that only looks where a link leads must not use it up.
    let encrypted = request.extensions().get::<Encrypted>().is_some_and(|line| line.0);
    let opened = (request.method() == Method::GET)
        .then(|| board.access.open(&token, request.headers(), encrypted, Instant::now()))
        .flatten();
    match opened {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/bestuur")).into_response(),
        None => layout::problem(StatusCode::FORBIDDEN, &text("board-link-used"), &text("board-link-used-what")),
    }
}

/// What pages are made of; the same for everybody.
async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "board.css" => ("text/css; charset=utf-8", include_str!("assets/board.css")),
        "board.js" => ("text/javascript; charset=utf-8", include_str!("assets/board.js")),
        "icon.svg" => ("image/svg+xml", include_str!("assets/icon.svg")),
        _ => return layout::not_found(),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// `GET /bestuur/live`: says each time that something reads differently.
async fn live(State(board): State<Board>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut changed = board.changed();
    changed.mark_unchanged();
    let stream = futures_util::stream::unfold((changed, board.stopping), |(mut changed, mut stopping)| async move {
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => return None,
            news = changed.changed() => news.ok()?,
        }
        tokio::time::sleep(TELL_EVERY).await;
        let count = *changed.borrow_and_update();
        Some((Ok(Event::default().data(count.to_string())), (changed, stopping)))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
