//! Reads how many tests passed from what a test runner printed: `cargo test` (libtest) or `cargo nextest`.
//!
//! It must never count a crash as success: a runner that ended badly has at least one failure, and one that ended well
//! without a summary has shown nothing, which is a failure too.

use crate::report::Tally;

/// What a run of a test runner amounts to.
pub fn judge(printed: &str, ended_well: bool) -> Tally {
    match parse(printed) {
        Some(mut tally) => {
            if !ended_well && tally.failed == 0 {
                tally.failed = 1;
            }
            tally
        }
        None => Tally::FAILED,
    }
}

/// The sum over all summaries in the text, or `None` when there are none.
fn parse(printed: &str) -> Option<Tally> {
    printed
        .lines()
        .map(without_colours)
        .filter_map(|line| libtest(&line).or_else(|| nextest(&line)))
        .reduce(|sum, next| sum + next)
}

/// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn libtest(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count =
        |word: &str| counts.split(';').find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok());
    Some(Tally { passed: count(" passed")?, failed: count(" failed")?, skipped: count(" ignored").unwrap_or(0) })
}

/// `     Summary [   1.234s] 9/10 tests run: 6 passed (1 slow), 2 failed, 1 timed out, 3 skipped`
fn nextest(line: &str) -> Option<Tally> {
    let (_, rest) = line.trim_start().strip_prefix("Summary [")?.split_once(']')?;
    let (run, counts) = rest.split_once(" run:")?;
    let mut tally = Tally::default();
    for part in without_brackets(counts).split(',') {
        let (number, word) = part.trim().split_once(' ')?;
        let number = number.parse::<u64>().ok()?;
        match word.trim() {
            "passed" => tally.passed += number,
            "skipped" => tally.skipped += number,
            // "failed", "timed out", "exec failed", "leaked and failed" and whatever comes later.
            _ => tally.failed += number,
        }
    }
    // A run that was broken off says "3/10 tests": the other seven did not pass.
    if let Some((done, all)) = run.split_whitespace().next()?.split_once('/') {
        tally.failed += all.parse::<u64>().ok()?.saturating_sub(done.parse().ok()?);
    }
    Some(tally)
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0_usize;
    text.chars()
        .filter(|&letter| {
            depth += usize::from(letter == '(');
            let outside = depth == 0;
            depth -= usize::from(letter == ')' && depth > 0);
            outside
        })
        .collect()
}

/// Terminal colours are `ESC [ numbers m`.
fn without_colours(line: &str) -> String {
    let mut pieces = line.split('\u{1b}');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + piece.split_once('m').map_or("", |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Tally {
        Tally { passed, failed, skipped }
    }

    #[test]
    fn libtest_summaries_of_all_binaries_are_added() {
        let printed = "running 5 tests\n\
            test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\
            test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.00s\n";
        assert_eq!(judge(printed, false), tally(6, 3, 1));
    }

    #[test]
    fn colours_do_not_hide_a_summary() {
        let libtest = "test result: \u{1b}[32mok\u{1b}[0m. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(judge(libtest, true), tally(4, 0, 0));
        let nextest = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.004s] \u{1b}[1m3\u{1b}[0m tests run: \u{1b}[1m3\u{1b}[0m \
            \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m2\u{1b}[0m \u{1b}[33;1mskipped\u{1b}[0m";
        assert_eq!(judge(nextest, true), tally(3, 0, 2));
    }

    #[test]
    fn nextest_counts_time_outs_and_failed_starts_as_failures() {
        let printed = "     Summary [   9.1s] 10 tests run: 6 passed (1 slow, 2 flaky), 2 failed, 1 timed out, 1 exec failed, 4 skipped";
        assert_eq!(judge(printed, false), tally(6, 4, 4));
    }

    #[test]
    fn tests_that_nextest_never_started_did_not_pass() {
        let printed = "     Summary [   0.1s] 3/10 tests run: 2 passed, 1 failed, 0 skipped";
        assert_eq!(judge(printed, false), tally(2, 8, 0));
    }

    #[test]
    fn one_test_is_counted_too() {
        assert_eq!(judge("     Summary [   0.1s] 1 test run: 1 passed, 0 skipped", true), tally(1, 0, 0));
    }

    #[test]
    fn a_runner_that_crashed_has_failed_whatever_it_printed() {
        let printed = "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\
            error: test failed, to rerun pass `--lib`\n  process didn't exit successfully (signal: 6, SIGABRT)\n";
        assert_eq!(judge(printed, false), tally(4, 1, 0));
        assert_eq!(judge("error: could not compile", false), tally(0, 1, 0));
    }

    #[test]
    fn a_runner_without_a_summary_has_shown_nothing() {
        assert_eq!(judge("Finished `test` profile", true), tally(0, 1, 0));
    }

    #[test]
    fn a_test_that_prints_the_word_summary_is_not_counted() {
        assert_eq!(judge("Summary of the wijk\nthe test result: ok. 9 passed; 0 failed", true), tally(0, 1, 0));
    }
}
