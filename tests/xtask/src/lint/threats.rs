//! The table of threats in `SECURITY.md`: what somebody could do, what must hold, and the test that shows it.
//!
//! A promise without a test is a hope, so every row names at least one, and every one that is named must exist and be run.
//! Whether a test shows what its row says is for people to read; the names are sentences for that reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::none;
use crate::child;

const FILE: &str = "SECURITY.md";
/// The head of the table, by which it is found.
const COLUMNS: [&str; 4] = ["attacker", "can", "must hold", "test that shows it"];
/// What the threat model of this project needs at the least; a row that goes takes a promise with it.
const ROWS_MIN: usize = 30;

/// Checks the table against the tests of the repository.
pub fn check(root: &Path) -> Result<(), String> {
    let read =
        |name: &str| fs::read_to_string(root.join(name)).map_err(|problem| format!("cannot read {name}: {problem}"));
    let mut list = Command::new("git");
    list.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.rs", "*.mjs"]);
    let listed = child::read(&mut list)?;
    let mut tests = BTreeSet::new();
    for name in listed.split('\0').filter(|name| !name.is_empty() && root.join(name).is_file()) {
        let source = read(name)?;
        tests.extend(if name.ends_with(".rs") {
            rust_tests(&source).map_err(|problem| format!("{name}: {problem}"))?
        } else {
            browser_tests(&source)
        });
    }
    none(&problems(&read(FILE)?, &tests))
}

fn problems(text: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let rows = rows(text);
    let mut problems = Vec::new();
    if rows.len() < ROWS_MIN {
        problems.push(format!(
            "{FILE} has {} rows under `| {} |`; at least {ROWS_MIN} are needed",
            rows.len(),
            COLUMNS.join(" | ")
        ));
    }
    for (line, cells) in rows {
        if cells.len() != COLUMNS.len() || cells.iter().any(String::is_empty) {
            problems.push(format!("{FILE}:{line} has not the {} cells of its table", COLUMNS.len()));
            continue;
        }
        let named: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            problems.push(format!("{FILE}:{line} names no test; write it between backticks"));
        }
        let missing = named.into_iter().filter(|name| !tests.contains(*name));
        problems
            .extend(missing.map(|name| format!("{FILE}:{line} names `{name}`, and no test that is run has that name")));
    }
    problems
}

/// The rows of the table, with their lines. Nothing when there is no such table.
fn rows(text: &str) -> Vec<(usize, Vec<String>)> {
    let cells = |line: &str| -> Option<Vec<String>> {
        let inside = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some(inside.split('|').map(|cell| cell.trim().to_owned()).collect())
    };
    let is_head =
        |line: &str| cells(line).is_some_and(|cells| cells.iter().map(|cell| cell.to_lowercase()).eq(COLUMNS));
    let lines = text.lines().zip(1..).skip_while(|(line, _)| !is_head(line));
    let below = lines.skip(1).map_while(|(line, number)| Some((number, cells(line)?)));
    below.filter(|(_, cells)| !cells.iter().all(|cell| cell.chars().all(|sign| matches!(sign, '-' | ':')))).collect()
}

/// Names of the test functions in a source, those in macros as well; not of those that are ignored.
fn rust_tests(source: &str) -> Result<Vec<String>, String> {
    let tokens: TokenStream = source
        .parse()
        .map_err(|problem: proc_macro2::LexError| format!("line {}: {problem}", problem.span().start().line))?;
    let mut names = Vec::new();
    collect(tokens, &mut names);
    Ok(names)
}

fn collect(tokens: TokenStream, names: &mut Vec<String>) {
    let (mut is_test, mut is_ignored, mut after_fn) = (false, false, false);
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                let name = attribute(group.stream());
                is_test |= name.as_deref() == Some("test");
                is_ignored |= name.as_deref() == Some("ignore");
            }
            TokenTree::Ident(ident) if after_fn => {
                if is_test && !is_ignored {
                    names.push(ident.to_string());
                }
                (is_test, is_ignored, after_fn) = (false, false, false);
            }
            TokenTree::Ident(ident) => after_fn = ident == "fn",
            TokenTree::Group(group) => {
                if group.delimiter() == Delimiter::Brace {
                    (is_test, is_ignored) = (false, false);
                }
                collect(group.stream(), names);
            }
            _ => {}
        }
    }
}

/// The last part of an attribute's path: `test` of `#[tokio::test(flavor = "…")]`.
fn attribute(tokens: TokenStream) -> Option<String> {
    let path = tokens.into_iter().take_while(|token| !matches!(token, TokenTree::Group(_)));
    let names = path.filter_map(|token| match token {
        TokenTree::Ident(ident) => Some(ident.to_string()),
        _ => None,
    });
    names.last()
}

/// Titles of tests in a browser: what stands between quotes behind `test(` or `it(`.
fn browser_tests(source: &str) -> Vec<String> {
    let starts = ["test(", "it("].into_iter().flat_map(|word| source.match_indices(word));
    let titles = starts.filter_map(|(at, word)| {
        let before = source[..at].chars().next_back();
        let rest = source[at + word.len()..].trim_start();
        let quote = rest.chars().next().filter(|sign| matches!(sign, '"' | '\'' | '`'))?;
        let is_word = !before.is_some_and(|sign| sign.is_alphanumeric() || sign == '_' || sign == '.');
        is_word.then(|| rest[1..].split(quote).next().map(str::to_owned))?
    });
    titles.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize, last: &str) -> String {
        let row = "| a relay | alter a byte | it is refused | `refused` |\n".repeat(rows);
        format!(
            "# Security\n\n| Attacker | can | must hold | test that shows it |\n|---|:--|---|---|\n{row}{last}\nEnd.\n| x |\n"
        )
    }

    fn known() -> BTreeSet<String> {
        ["refused", "kept"].map(str::to_owned).into()
    }

    #[test]
    fn a_table_of_thirty_rows_with_known_tests_is_fine() {
        assert_eq!(problems(&table(ROWS_MIN, ""), &known()), Vec::<String>::new());
        let two = "| a server | forge | nothing is kept | `refused`, `kept` |\n";
        assert_eq!(problems(&table(ROWS_MIN, two), &known()), Vec::<String>::new());
    }

    #[test]
    fn a_missing_row_test_or_cell_is_named_with_its_line() {
        assert!(problems(&table(ROWS_MIN - 1, ""), &known())[0].contains("29 rows"));
        assert!(problems("no table at all", &known())[0].contains("0 rows"));
        for (last, word) in [
            ("| a relay | alter | refused | `nobody_wrote_this` |", "`nobody_wrote_this`"),
            ("| a relay | alter | refused | later |", "names no test"),
            ("| a relay | alter | | `refused` |", "cells"),
            ("| a relay | alter | `refused` |", "cells"),
        ] {
            let found = problems(&table(ROWS_MIN, &format!("{last}\n")), &known());
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with("SECURITY.md:35 ") && found[0].contains(word), "{found:?}");
        }
    }

    #[test]
    fn tests_are_told_from_other_functions() {
        let source = r##"
            #[test]
            fn plain() {}
            #[tokio::test(flavor = "multi_thread")]
            #[expect(clippy::unwrap_used, reason = "a test")]
            async fn slow() { fn helper() {} }
            #[cfg(test)]
            mod tests { #[test] fn within() {} }
            proptest! { #![config()] #[test] fn any(x in 0..9u8) { let fine = [x; 2]; } }
            #[cfg(test)]
            fn helper_only() {}
            #[test] #[ignore = "slow"] fn left_out() {}
            /// #[test] fn in_a_comment() {}
            fn after() { let text = "#[test] fn in_a_string() {}"; }
        "##;
        assert_eq!(rust_tests(source).unwrap(), ["plain", "slow", "within", "any"]);
    }

    #[test]
    fn titles_of_browser_tests_are_read() {
        let source =
            "test('the page opens', async () => {});\n  it(\"works\"); attest('no'); t.test(`no`); test( `yes` )";
        assert_eq!(browser_tests(source), ["the page opens", "yes", "works"]);
    }
}
