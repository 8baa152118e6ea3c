//! The queue: all contributions with their counts, those without an answer first.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use samenspraak_core::app::ContributionItem;

use super::Board;
use super::layout::{self, Here, IntoPage, Names};
use crate::messages::{self, text, with};

/// What the board did with a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Open,
    NotAgreed,
    Answered,
}

impl Standing {
    const ALL: [Self; 3] = [Self::Open, Self::NotAgreed, Self::Answered];

    pub(super) fn of(decisions: usize) -> Self {
        match decisions {
            0 => Self::Open,
            1 => Self::Answered,
            _ => Self::NotAgreed,
        }
    }

    /// Its name in addresses and style sheets.
    fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::NotAgreed => "oneens",
            Self::Answered => "beantwoord",
        }
    }

    fn words(self) -> String {
        match self {
            Self::Open => text("board-standing-open"),
            Self::NotAgreed => text("board-standing-not-agreed"),
            Self::Answered => text("board-standing-answered"),
        }
    }

    pub(super) fn badge(self) -> Markup {
        html! { span class={ "standing " (self.code()) } { (self.words()) } }
    }
}

/// Which contributions are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Filter {
    theme: Option<u64>,
    standing: Option<Standing>,
}

impl Filter {
    /// What an address asks for; what it can't mean is left out.
    fn parse(query: &BTreeMap<String, String>) -> Self {
        let standing = query.get("stand").map(String::as_str);
        Self {
            theme: query.get("thema").and_then(|number| number.parse().ok()),
            standing: Standing::ALL.into_iter().find(|known| Some(known.code()) == standing),
        }
    }

    fn path(self) -> String {
        let theme = self.theme.map(|theme| format!("thema={theme}"));
        let standing = self.standing.map(|standing| format!("stand={}", standing.code()));
        let query: Vec<String> = theme.into_iter().chain(standing).collect();
        if query.is_empty() { "/bestuur".into() } else { format!("/bestuur?{}", query.join("&")) }
    }

    fn shows(self, item: &ContributionItem) -> bool {
        self.theme.is_none_or(|theme| theme == item.content.theme)
            && self.standing.is_none_or(|standing| standing == Standing::of(item.decisions))
    }
}

/// `GET /bestuur`
pub(super) async fn show(State(board): State<Board>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let filter = Filter::parse(&query);
    let looked = board.look(move |app| {
        let Some(joined) = app.joined_mut() else { return Ok((Names::default(), Vec::new())) };
        Ok((Names::of(joined), joined.contributions()?))
    });
    match looked.await {
        None => layout::stopping(),
        Some(Err::<_, samenspraak_core::replica::ReplicaError>(error)) => layout::unreadable(&error),
        Some(Ok((names, items))) => render(&names, items, filter).into_page(),
    }
}

fn render(names: &Names, items: Vec<ContributionItem>, filter: Filter) -> Markup {
    let count = |standing| {
        let filter = Filter { standing, ..filter };
        items.iter().filter(|item| filter.shows(item)).count()
    };
    let standings: Vec<_> = std::iter::once(None).chain(Standing::ALL.map(Some)).map(|s| (s, count(s))).collect();
    let (all, open) = (count(None), count(Some(Standing::Open)));
    let mut themes: Vec<u64> =
        names.themes.keys().chain(items.iter().map(|item| &item.content.theme)).copied().collect();
    themes.sort_unstable();
    themes.dedup();
    let mut shown: Vec<ContributionItem> = items.into_iter().filter(|item| filter.shows(item)).collect();
    // Newest first; what the server hasn't numbered yet is newer than all it has.
    shown.sort_by_key(|item| {
        (Standing::of(item.decisions), std::cmp::Reverse(item.number.unwrap_or(u64::MAX)), item.subject)
    });
    let title = text("board-queue");
    let body = html! {
        h1 { (title) }
        p #counter data-live aria-live="polite" {
            (with("board-counter", &[("all", all.into()), ("open", open.into())]))
        }
        nav.filters #filters data-live aria-label=(text("board-filters")) {
            p {
                b { (text("board-standing")) ":" } " "
                @for (standing, count) in &standings {
                    a href=(Filter { standing: *standing, ..filter }.path()) aria-current=[(*standing == filter.standing).then_some("true")] {
                        (standing.map_or_else(|| text("board-all"), Standing::words)) " (" (count) ")"
                    } " "
                }
            }
            p {
                b { (text("board-theme")) ":" } " "
                a href=(Filter { theme: None, ..filter }.path()) aria-current=[filter.theme.is_none().then_some("true")] {
                    (text("board-all-themes"))
                } " "
                @for theme in &themes {
                    a href=(Filter { theme: Some(*theme), ..filter }.path()) aria-current=[(filter.theme == Some(*theme)).then_some("true")] {
                        (names.theme(*theme))
                    } " "
                }
            }
        }
        div #queue data-live { (table(names, &shown)) }
    };
    layout::page(&title, names, Here::Queue, &body)
}

/// The roles say again what the elements are: on a narrow screen the style sheet makes cards of the rows, and some browsers
/// forget the table then.
fn table(names: &Names, items: &[ContributionItem]) -> Markup {
    let columns = [
        text("board-column-title"),
        text("board-theme"),
        text("board-column-buurt"),
        text("board-column-received"),
        text("board-column-support"),
        text("board-column-agree"),
        text("board-column-disagree"),
        text("board-column-pass"),
        text("board-standing"),
    ];
    html! {
        @if items.is_empty() {
            p { (text("board-queue-empty")) }
        } @else {
            table role="table" {
                caption.unseen { (text("board-queue-caption")) }
                thead role="rowgroup" {
                    tr role="row" {
                        @for (at, column) in columns.iter().enumerate() {
                            th scope="col" role="columnheader" class=[(4..8).contains(&at).then_some("number")] { (column) }
                        }
                    }
                }
                tbody role="rowgroup" { @for item in items { (row(names, item, &columns)) } }
            }
        }
    }
}

fn row(names: &Names, item: &ContributionItem, columns: &[String; 9]) -> Markup {
    let counts = [item.counts.support, item.counts.agree, item.counts.disagree, item.counts.pass];
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                a id={ "i" (item.subject) } href=(layout::contribution_path(item.subject)) {
                    (layout::title(&item.content.title))
                }
            }
            td role="cell" data-label=(columns[1]) { (names.theme(item.content.theme)) }
            td role="cell" data-label=(columns[2]) { bdi { (names.buurt(&item.content.buurt)) } }
            td role="cell" data-label=(columns[3]) {
                @match item.received_day { Some(day) => time datetime=(crate::date::date(day)) { (messages::short_day(day)) }, None => (text("board-not-received")) }
            }
            @for (count, column) in counts.iter().zip(&columns[4..]) {
                td.number role="cell" data-label=(column) { (count) }
            }
            td role="cell" data-label=(columns[8]) { (Standing::of(item.decisions).badge()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samenspraak_core::model::{Content, PersonId, SubjectId};
    use samenspraak_core::view::Counts;

    fn item(number: u8, title: &str, decisions: usize) -> ContributionItem {
        ContributionItem {
            subject: SubjectId::new([number; 16]),
            content: Content { title: title.into(), text: "x".into(), theme: 77, buurt: "<b>".into() },
            person: PersonId::ZERO,
            own: None,
            number: (number != 0).then_some(u64::from(number)),
            received_day: None,
            counts: Counts::default(),
            decisions,
            hidden: None,
        }
    }

    #[test]
    fn what_waits_for_the_board_comes_first_and_the_newest_of_it_on_top() {
        let items =
            vec![item(1, "oud", 0), item(2, "eens", 1), item(3, "twee", 2), item(4, "nieuw", 0), item(0, "net", 0)];
        let page = render(&Names::default(), items, Filter::default()).into_string();
        let order: Vec<usize> = ["net", "nieuw", "oud", "twee", "eens"]
            .iter()
            .map(|t| page.find(&format!("<bdi>{t}</bdi>")).unwrap())
            .collect();
        assert!(order.is_sorted(), "{order:?}");
    }

    #[test]
    fn odd_titles_and_unknown_places_stay_text() {
        let items = vec![item(1, " ", 0), item(2, "<script>alert(1)</script>", 0)];
        let page = render(&Names::default(), items, Filter::default()).into_string();
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;") && page.contains("&lt;b&gt;"));
        assert!(page.contains(&text("board-no-title")));
    }

    #[test]
    fn filters_survive_their_address_and_nonsense_is_left_out() {
        for filter in [
            Filter::default(),
            Filter { theme: Some(0), standing: None },
            Filter { theme: Some(3), standing: Some(Standing::NotAgreed) },
        ] {
            let path = filter.path();
            let query = path.split_once('?').map_or("", |(_, query)| query);
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            assert_eq!(Filter::parse(&pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()), filter);
        }
        let odd = [("thema", "-1"), ("stand", "weg")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(Filter::parse(&odd.into_iter().collect()), Filter::default());
    }
}
