//! Who may open the board's page.
//!
//! Without a session only somebody at this machine: the connection comes from loopback, names a loopback host (a page of
//! another site that was made to resolve to this machine names its own) and did not pass a proxy, behind which everybody
//! looks like this machine. Elsewhere a link opens a session, once and for a limited time; it is printed when the server
//! starts. What changes something must come from a page of ours, and bring back a secret that stood on it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

use crate::client::entropy;
use crate::folder::hex;

/// How long the printed link can be used: long enough to send it to the secretary and for her to open it.
pub const LINK_LIFE: Duration = Duration::from_secs(30 * 60);
/// How long a session lasts: a day's work.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// 256 random bits in hexadecimal digits.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    fn new() -> Self {
        Self(hex(&entropy()))
    }

    /// Compares in a time that says nothing about where two texts differ.
    fn is(&self, other: &str) -> bool {
        let (a, b) = (self.0.as_bytes(), other.as_bytes());
        let differs = a.iter().zip(b).fold(0, |differs, (a, b)| std::hint::black_box(differs | (a ^ b)));
        a.len() == b.len() && differs == 0
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

struct Session {
    cookie: Secret,
    form: Secret,
    until: Instant,
}

struct State {
    link: Option<(Secret, Instant)>,
    session: Option<Session>,
}

/// See the module.
pub(super) struct Access {
    cookie_name: String,
    /// Stands in forms of those who come without a session.
    local_form: Secret,
    state: Mutex<State>,
}

/// Somebody who may see the page, and the secret that their forms carry.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) form: Secret,
}

impl Visitor {
    /// Whether a form brought this visitor's secret back.
    pub(super) fn sent(&self, secret: &str) -> bool {
        self.form.is(secret)
    }
}

impl Access {
    /// `name` tells the cookies of several wijken on one host apart: cookies don't know ports.
    pub(super) fn new(name: &str, now: Instant) -> Self {
        Self {
            cookie_name: format!("bestuur-{name}"),
            local_form: Secret::new(),
            state: Mutex::new(State { link: Some((Secret::new(), now + LINK_LIFE)), session: None }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last part of the link, while it wasn't used.
    pub(super) fn link(&self) -> Option<String> {
        self.state().link.as_ref().map(|(secret, _)| secret.0.clone())
    }

    /// Opens a session with the link and gives the cookie, for encrypted lines alone if this one is; `None` when the link is another, was used or is too old.
    pub(super) fn open(&self, token: &str, headers: &HeaderMap, encrypted: bool, now: Instant) -> Option<String> {
        let mut state = self.state();
        let (secret, until) = state.link.as_ref()?;
        if !secret.is(token) || now > *until {
            return None;
        }
        state.link = None;
        let cookie = Secret::new();
        let secure = encrypted || headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        let line = format!(
            "{}={}; Path=/bestuur; Max-Age={}; HttpOnly; SameSite=Strict{}",
            self.cookie_name,
            cookie.0,
            SESSION_LIFE.as_secs(),
            if secure { "; Secure" } else { "" },
        );
        state.session = Some(Session { cookie, form: Secret::new(), until: now + SESSION_LIFE });
        Some(line)
    }

    /// Who this request is from, if they may see the page.
    pub(super) fn visitor(&self, request: &Parts, now: Instant) -> Option<Visitor> {
        if let Some(session) = &self.state().session
            && session.until > now
            && cookies(&request.headers, &self.cookie_name).any(|value| session.cookie.is(value))
        {
            return Some(Visitor { form: session.form.clone() });
        }
        is_local(request).then(|| Visitor { form: self.local_form.clone() })
    }
}

fn cookies<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
}

/// Whether a request comes from somebody at this machine.
pub(crate) fn is_local(request: &Parts) -> bool {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
    let proxied = request.headers.keys().any(|name| {
        let name = name.as_str();
        matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded")
    });
    peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback())
        && host(&request.headers).is_some_and(is_loopback_name)
        && !proxied
}

fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

/// Whether a host, with or without a port, is this machine by name.
pub(crate) fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "[::1]" | "localhost")
}

/// Whether a request that changes something comes from a page of ours. Browsers say so in one of two headers; what says
/// nothing is refused. Reading needs no such word: other sites can't see the answer.
pub(super) fn is_from_own_page(request: &Parts) -> bool {
    if matches!(request.method, Method::GET | Method::HEAD) {
        return true;
    }
    let site = request.headers.get("sec-fetch-site").map(|site| site == "same-origin");
    let origin = request.headers.get(header::ORIGIN).map(|origin| {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
        authority.is_some() && authority == host(&request.headers)
    });
    match (site, origin) {
        (None, None) => false,
        (site, origin) => site.unwrap_or(true) && origin.unwrap_or(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn request(peer: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method("POST").uri("/bestuur");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        parts
    }

    #[test]
    fn only_somebody_at_this_machine_needs_no_link() {
        let (here, ipv6, mapped) = ("127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9");
        for (peer, name) in
            [(here, "127.0.0.1:7447"), (ipv6, "[::1]:7447"), (mapped, "localhost"), (here, "localhost:1")]
        {
            assert!(is_local(&request(peer, &[("host", name)])), "{peer} {name}");
        }
        for name in
            ["wijk.example", "wijk.example:7447", "127.0.0.1.wijk.example", "localhost.wijk.example:1", "", "::1"]
        {
            assert!(!is_local(&request(here, &[("host", name)])), "{name}");
        }
        assert!(!is_local(&request("192.168.1.5:9", &[("host", "127.0.0.1:7447")])));
        assert!(!is_local(&request(here, &[])));
        assert!(!is_local(&request(here, &[("host", "localhost"), ("host", "wijk.example")])));
        for proxy in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"] {
            assert!(!is_local(&request(here, &[("host", "localhost"), (proxy, "1")])), "{proxy}");
        }
    }

    #[test]
    fn the_link_works_once_and_for_a_limited_time() {
        let (now, headers) = (Instant::now(), HeaderMap::new());
        let access = Access::new("x", now);
        let link = access.link().unwrap();
        assert!(link.len() * 4 >= 128);
        assert!(access.open("", &headers, false, now).is_none());
        assert!(access.open(&link[1..], &headers, false, now).is_none());
        assert!(access.open(&link, &headers, false, now + LINK_LIFE + Duration::from_secs(1)).is_none());
        let line = access.open(&link, &headers, false, now).unwrap();
        assert!(line.contains("HttpOnly; SameSite=Strict"));
        assert!(access.open(&link, &headers, false, now).is_none() && access.link().is_none());

        let cookie = line.split(';').next().unwrap().to_owned();
        let visitor = |cookie: &str, at| {
            access.visitor(&request("192.168.1.5:9", &[("host", "wijk.example"), ("cookie", cookie)]), at)
        };
        let session = visitor(&format!("a=b; {cookie}"), now).unwrap();
        assert!(session.sent(session.form.as_str()) && !session.sent("") && !session.sent(access.local_form.as_str()));
        assert!(visitor("bestuur-x=", now).is_none() && visitor("a=b", now).is_none());
        assert!(visitor(&cookie, now + SESSION_LIFE).is_none());
    }

    #[test]
    fn a_form_of_another_site_is_refused() {
        let from = |headers: &[(&str, &str)]| {
            let headers: Vec<_> = [("host", "127.0.0.1:7447")].iter().chain(headers).copied().collect();
            is_from_own_page(&request("127.0.0.1:9", &headers))
        };
        assert!(from(&[("origin", "http://127.0.0.1:7447")]));
        assert!(from(&[("sec-fetch-site", "same-origin")]));
        assert!(from(&[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:7447")]));
        assert!(!from(&[]));
        for other in ["http://127.0.0.1:8000", "https://wijk.example", "null", ""] {
            assert!(!from(&[("origin", other)]), "{other}");
            assert!(!from(&[("origin", other), ("sec-fetch-site", "same-origin")]), "{other}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert!(!from(&[("sec-fetch-site", site)]), "{site}");
        }
    }
}
