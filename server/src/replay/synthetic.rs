//! A small conversation made up from a seed, for where no real one is at hand.

use samenspraak_core::model::Choice;

use super::input::{Act, Conversation, Happening, Matrix, Statement};
use super::seeded::Seeded;

const PEOPLE: usize = 40;
const STATEMENTS: usize = 30;
/// Everything happens within three days.
const LENGTH_MS: u64 = 3 * 24 * 60 * 60 * 1000;
/// Monday 7 June 2027, nine in the morning.
const BEGIN_MS: u64 = 1_812_445_200_000;

/// Makes the conversation of a seed.
pub fn generate(seed: u64) -> Conversation {
    let mut seeded = Seeded::new(seed, "synthetic", 0);
    let (mut statements, mut happenings, mut written) = (Vec::new(), Vec::new(), Vec::new());
    for statement in 0..STATEMENTS {
        let (at_ms, person) = (BEGIN_MS + seeded.below(LENGTH_MS), seeded.below(PEOPLE as u64) as usize);
        // Letters of two, three and four bytes, a line break and a comma: what goes wrong first.
        let text =
            format!("Statement {statement} of seed {seed}: crossing, café, ≥ 2 trees 🌳\nby participant {person}");
        statements.push(Statement { name: 100 + statement as u64, text });
        written.push(at_ms);
        happenings.push(Happening { at_ms, person, act: Act::Write(statement) });
    }
    for person in 0..PEOPLE {
        for _ in 0..seeded.between(1, 4) {
            let mut at_ms = BEGIN_MS + seeded.below(LENGTH_MS);
            for (statement, written) in written.iter().enumerate() {
                if *written < at_ms && seeded.below(10) < 7 {
                    at_ms += seeded.between(1_000, 90_000);
                    let choice = [Choice::Agree, Choice::Disagree, Choice::Pass][seeded.below(3) as usize];
                    happenings.push(Happening { at_ms, person, act: Act::Vote(statement, choice) });
                }
            }
        }
    }
    Conversation::order(&mut happenings);
    let mut expected = Matrix::new(PEOPLE, STATEMENTS);
    for happening in &happenings {
        if let Act::Vote(statement, choice) = happening.act {
            expected.set(happening.person, statement, Some(choice));
        }
    }
    let people = (0..PEOPLE as u64).collect();
    Conversation { title: format!("synthetic {seed}"), statements, people, happenings, expected }
}
