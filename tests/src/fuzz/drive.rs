//! A driver without coverage, for any toolchain: honest inputs first, then changed and random ones until the time is up.
//!
//! It keeps every input that got to a new end ([`super::Ends`]) and changes those further. All that is random follows from
//! the seed; only how far it gets depends on the machine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Ends, Target, hex};
use crate::world::Seeded;

/// Inputs that are kept to be changed further: more would be changed too seldom.
const KEPT_MAX: usize = 4096;
/// Longest random input; structured functions use a byte a choice.
const RANDOM_BYTES_MAX: usize = 512;
/// Longest input: more than the largest body, less than repeated pieces could grow to.
const INPUT_BYTES_MAX: usize = 128 * 1024;

/// What a run did.
#[derive(Debug)]
pub struct Driven {
    /// Inputs that were given to the function.
    pub inputs: u64,
    /// How many of the inputs were kept because they reached something new.
    pub kept: usize,
    /// What was reached, with the number of different cases of it.
    pub reached: BTreeMap<&'static str, usize>,
}

/// Runs a target for at least this long.
///
/// # Errors
/// The input that broke something, as text to be kept as a fixture, with what it broke and the seed.
pub fn drive(target: &Target, seed: u64, time: Duration) -> Result<Driven, String> {
    let begun = Instant::now();
    let mut choose = Seeded::new(seed);
    let mut driver = Driver { target, seen: Ends::default(), kept: Vec::new(), inputs: 0 };
    for honest in target.seeds() {
        target.accepts(&honest).map_err(|problem| fixture(target, seed, &honest, &problem))?;
        driver.give(honest, seed)?;
    }
    while begun.elapsed() < time {
        let input = driver.next(&mut choose);
        driver.give(input, seed)?;
    }
    let mut reached = BTreeMap::new();
    driver.seen.0.iter().for_each(|(place, _)| *reached.entry(*place).or_insert(0) += 1);
    Ok(Driven { inputs: driver.inputs, kept: driver.kept.len(), reached })
}

struct Driver<'t> {
    target: &'t Target,
    seen: Ends,
    kept: Vec<Vec<u8>>,
    inputs: u64,
}

impl Driver<'_> {
    fn give(&mut self, input: Vec<u8>, seed: u64) -> Result<(), String> {
        self.inputs += 1;
        let ends = self.target.run(&input).map_err(|problem| fixture(self.target, seed, &input, &problem))?;
        let before = self.seen.0.len();
        self.seen.0.extend(ends.0);
        if (self.seen.0.len() > before || self.kept.is_empty()) && self.kept.len() < KEPT_MAX {
            self.kept.push(input);
        }
        Ok(())
    }

    fn next(&self, choose: &mut Seeded) -> Vec<u8> {
        if choose.below(8) == 0 {
            return random(choose);
        }
        let mut input = self.kept[choose.below(self.kept.len())].clone();
        if choose.below(8) == 0 {
            let other = &self.kept[choose.below(self.kept.len())];
            let (at, from) = (choose.below(input.len() + 1), choose.below(other.len() + 1));
            input.truncate(at);
            input.extend(&other[from..]);
        }
        let choices = random(choose);
        let mut edits = super::choices::Choices::new(&choices);
        for _ in 0..=choose.below(6) {
            edits.edit(&mut input);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }
}

/// Short inputs as often as long ones.
fn random(choose: &mut Seeded) -> Vec<u8> {
    let most = [8, 64, RANDOM_BYTES_MAX][choose.below(3)];
    (0..8 + choose.below(most)).map(|_| u8::try_from(choose.below(256)).unwrap_or(0)).collect()
}

/// Runs that are spent on making an input simpler.
const SIMPLER_RUNS_MAX: usize = 4_000;

/// A shorter input, with more zeros, that breaks at the same place.
fn simpler(target: &Target, input: &[u8]) -> Vec<u8> {
    let place = |input: &[u8]| target.run(input).err().and_then(|text| text.lines().next().map(str::to_owned));
    let (mut best, breaks) = (input.to_vec(), place(input));
    let mut runs = 0;
    let mut size = input.len();
    while size > 0 {
        let mut at = 0;
        while at < best.len() && runs < SIMPLER_RUNS_MAX {
            let end = (at + size).min(best.len());
            let shorter = [&best[..at], &best[end..]].concat();
            let mut zeroed = best.clone();
            zeroed[at..end].fill(0);
            let fewer = [shorter, zeroed].into_iter().find(|other| {
                runs += 1;
                *other != best && place(other) == breaks
            });
            match fewer {
                Some(fewer) => {
                    at += if fewer.len() < best.len() { 0 } else { size };
                    best = fewer;
                }
                None => at += size,
            }
        }
        size /= 2;
    }
    best
}

fn fixture(target: &Target, seed: u64, input: &[u8], problem: &str) -> String {
    let simple = simpler(target, input);
    let problem = target.run(&simple).err().unwrap_or_else(|| problem.to_owned());
    let (name, digits) = (target.name, hex(&simple));
    format!(
        "{name} breaks with SAMENSPRAAK_SEED={seed}: {problem}\n\
         To keep it until it is mended, save the line of digits in tests/tests/fuzz/{name}/what-it-does.hex:\n{digits}"
    )
}
