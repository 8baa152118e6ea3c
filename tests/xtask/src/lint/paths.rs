//! The paths that a Rust source names (`std::fs::read`), with `use std::{fs, net}` written out.
//!
//! It reads tokens, so comments, strings and line breaks make no difference. It knows no types: a path that is reached
//! through a name of another crate, or made by a macro of another file, is not seen. Code under a `cfg` for tests, or for a
//! feature that `skipped` names, is left out.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A path, and the line on which it begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// Its parts, joined by `::`; the name of a macro ends in `!` where it is called.
    pub path: String,
    /// Whether it was brought in by `use`.
    pub is_use: bool,
    /// The line, from 1.
    pub line: usize,
}

/// What a source names.
#[derive(Debug, Default)]
pub struct Names {
    /// All paths, in order.
    pub paths: Vec<Named>,
    /// Modules in other files that are left out, as `mod tests;` under `#[cfg(test)]`.
    pub modules_left_out: Vec<String>,
}

/// Reads a source. `skipped` tells of a `cfg` predicate, written without spaces, whether what stands under it is left out.
pub fn names(source: &str, skipped: &dyn Fn(&str) -> bool) -> Result<Names, String> {
    let tokens: TokenStream = source
        .parse()
        .map_err(|problem: proc_macro2::LexError| format!("line {}: {problem}", problem.span().start().line))?;
    let mut names = Names::default();
    read(tokens, skipped, &mut names);
    Ok(names)
}

fn read(tokens: TokenStream, skipped: &dyn Fn(&str) -> bool, names: &mut Names) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if cfg(&tokens[at..]).is_some_and(|predicate| skipped(&predicate)) {
            at = leave_out_item(&tokens, at + 2, names);
            continue;
        }
        match &tokens[at] {
            TokenTree::Ident(ident) if ident == "use" => {
                let end =
                    tokens[at..].iter().position(|token| is_punct(token, ';')).map_or(tokens.len(), |count| at + count);
                read_tree(&tokens[at + 1..end], "", names);
                at = end + 1;
            }
            TokenTree::Ident(_) => at += read_path(&tokens[at..], names),
            TokenTree::Group(group) => {
                read(group.stream(), skipped, names);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// `a::b::c`, as far as it goes; gives how many tokens it took. Generic arguments end it and are read on their own.
fn read_path(tokens: &[TokenTree], names: &mut Names) -> usize {
    let mut parts = vec![tokens[0].to_string()];
    let mut at = 1;
    while let [colon, second, TokenTree::Ident(next), ..] = &tokens[at..] {
        if !is_double_colon(colon, second) {
            break;
        }
        parts.push(next.to_string());
        at += 3;
    }
    // In `a != b` the sign is joined to the next one.
    let is_call = tokens.get(at).is_some_and(
        |token| matches!(token, TokenTree::Punct(sign) if sign.as_char() == '!' && sign.spacing() == Spacing::Alone),
    );
    let path = parts.join("::") + if is_call { "!" } else { "" };
    names.paths.push(Named { path, is_use: false, line: tokens[0].span().start().line });
    at
}

/// What stands after `use`: a path, or a path with branches in braces.
fn read_tree(tokens: &[TokenTree], before: &str, names: &mut Names) {
    let mut path = before.to_owned();
    let mut begun = None;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if ident == "as" => {
                // The new name says nothing about where it comes from.
                break;
            }
            TokenTree::Ident(ident) => {
                begun = begun.or(Some(ident.span().start().line));
                if ident != "self" || path.is_empty() {
                    path = joined(&path, &ident.to_string());
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == '*' => {
                begun = begun.or(Some(punct.span().start().line));
                path = joined(&path, "*");
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for branch in inner.split(|token| is_punct(token, ',')) {
                    read_tree(branch, &path, names);
                }
                return;
            }
            _ => {}
        }
    }
    if let Some(line) = begun {
        names.paths.push(Named { path, is_use: true, line });
    }
}

fn joined(before: &str, part: &str) -> String {
    if before.is_empty() { part.to_owned() } else { format!("{before}::{part}") }
}

/// The predicate of `#[cfg(…)]`, when that is what stands here.
fn cfg(tokens: &[TokenTree]) -> Option<String> {
    let [hash, TokenTree::Group(attribute), ..] = tokens else { return None };
    let inside: Vec<TokenTree> = attribute.stream().into_iter().collect();
    match inside.as_slice() {
        [TokenTree::Ident(name), TokenTree::Group(predicate)] if is_punct(hash, '#') && name == "cfg" => {
            Some(predicate.stream().to_string().replace(' ', ""))
        }
        _ => None,
    }
}

/// Goes past an item that begins at `at`: to its closing brace, or its semicolon.
fn leave_out_item(tokens: &[TokenTree], at: usize, names: &mut Names) -> usize {
    let ends = |token: &TokenTree| {
        is_punct(token, ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
    };
    let end = tokens[at..].iter().position(ends).map_or(tokens.len(), |count| at + count);
    // `use a::{b, c};` has its brace before its end.
    let is_use = tokens[at..end].iter().any(|token| matches!(token, TokenTree::Ident(ident) if ident == "use"));
    let end = if is_use {
        tokens[at..].iter().position(|token| is_punct(token, ';')).map_or(tokens.len(), |count| at + count)
    } else {
        end
    };
    if let [.., TokenTree::Ident(keyword), TokenTree::Ident(name)] = &tokens[at..end]
        && keyword == "mod"
        && tokens.get(end).is_some_and(|token| is_punct(token, ';'))
    {
        names.modules_left_out.push(name.to_string());
    }
    end + 1
}

fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn is_double_colon(first: &TokenTree, second: &TokenTree) -> bool {
    matches!(first, TokenTree::Punct(punct) if punct.as_char() == ':' && punct.spacing() == Spacing::Joint)
        && is_punct(second, ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<String> {
        let names = names(source, &|predicate| predicate == "test").unwrap();
        names.paths.into_iter().map(|named| named.path).filter(|path| path.contains("::")).collect()
    }

    #[test]
    fn branches_of_a_use_are_written_out() {
        let found = paths("use std::{fs, net::{self, TcpStream as Tcp}, time::*};");
        assert_eq!(found, ["std::fs", "std::net", "std::net::TcpStream", "std::time::*"]);
    }

    #[test]
    fn a_path_is_found_in_code_macros_and_generics() {
        let source = "fn f() -> Vec<std::fs::File> { vec![std :: env :: var(\"x\")] }";
        assert_eq!(paths(source), ["std::fs::File", "std::env::var"]);
    }

    #[test]
    fn a_macro_is_told_from_a_comparison() {
        let names = names("fn f() { print!(); if print != 3 {} }", &|_| false).unwrap();
        let found: Vec<&str> = names.paths.iter().map(|named| named.path.as_str()).collect();
        assert_eq!(found, ["fn", "f", "print!", "if", "print"]);
    }

    #[test]
    fn comments_and_strings_name_nothing() {
        assert!(paths("/// See std::fs::read.\n// std::net\nconst A: &str = \"std::time::Instant\";").is_empty());
    }

    #[test]
    fn what_stands_under_a_skipped_cfg_is_left_out_and_no_more() {
        let source = "#[cfg(test)]\nmod tests { use std::fs; }\n#[cfg(test)] use std::{fs, io};\n#[cfg(test)] mod slow;\n\
            #[cfg(unix)] fn f() { std::net::x() }\nfn g() { std::env::y() }";
        assert_eq!(paths(source), ["std::net::x", "std::env::y"]);
        let names = names(source, &|predicate| predicate == "test").unwrap();
        assert_eq!(names.modules_left_out, ["slow"]);
        assert_eq!(names.paths.iter().find(|named| named.path == "std::env::y").map(|named| named.line), Some(6));
    }

    #[test]
    fn a_source_that_is_not_rust_is_an_error() {
        assert!(names("fn f( {", &|_| false).is_err());
    }
}
