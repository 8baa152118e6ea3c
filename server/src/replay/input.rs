//! The conversation to replay: who wrote which statement, who voted what and when, and the cells that must come out.
//!
//! Read from the export format of Polis; a file that doesn't fit is named with its row. `votes.csv` is the history, of which a
//! person's newest vote counts; `participants-votes.csv` is the truth that is compared with. The sums in `comments.csv` are
//! not used: exports are known that count a repeated vote twice.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use samenspraak_core::model::Choice;

use crate::error::ProgramError;

/// One statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its number in the conversation.
    pub name: u64,
    /// Its words.
    pub text: String,
}

/// What a participant does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Writes a statement (its index).
    Write(usize),
    /// Votes on a statement (its index).
    Vote(usize, Choice),
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub struct Happening {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who (an index).
    pub person: usize,
    /// What.
    pub act: Act,
}

/// A voice or nothing for each participant and statement, by their indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    cells: Vec<Option<Choice>>,
    statements: usize,
}

impl Matrix {
    /// Nothing for everybody.
    pub fn new(people: usize, statements: usize) -> Self {
        Self { cells: vec![None; people * statements], statements }
    }

    /// A cell.
    pub fn get(&self, person: usize, statement: usize) -> Option<Choice> {
        self.cells[person * self.statements + statement]
    }

    /// Sets a cell.
    pub fn set(&mut self, person: usize, statement: usize, choice: Option<Choice>) {
        self.cells[person * self.statements + statement] = choice;
    }

    /// How many voices there are.
    pub fn count(&self) -> usize {
        self.cells.iter().flatten().count()
    }

    /// The cells in which two differ: person, statement.
    pub fn differing(&self, other: &Self) -> Vec<(usize, usize)> {
        let pairs = self.cells.iter().zip(&other.cells).enumerate().filter(|(_, (a, b))| a != b);
        pairs.map(|(at, _)| (at / self.statements, at % self.statements)).collect()
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// What it is called in tables.
    pub title: String,
    /// All statements.
    pub statements: Vec<Statement>,
    /// Numbers of all participants.
    pub people: Vec<u64>,
    /// All that happened, in order of time.
    pub happenings: Vec<Happening>,
    /// What must come out.
    pub expected: Matrix,
}

impl Conversation {
    /// Puts happenings in order of time; what happened in the same millisecond keeps the order it is given in, statements
    /// before votes. A vote never comes before its statement, even where clocks say so.
    pub fn order(happenings: &mut [Happening]) {
        let mut written: BTreeMap<usize, u64> = BTreeMap::new();
        for happening in happenings.iter() {
            if let Act::Write(statement) = happening.act {
                written.insert(statement, happening.at_ms);
            }
        }
        for happening in happenings.iter_mut() {
            if let Act::Vote(statement, _) = happening.act {
                happening.at_ms = happening.at_ms.max(written.get(&statement).copied().unwrap_or(0));
            }
        }
        happenings.sort_by_key(|happening| (happening.at_ms, !matches!(happening.act, Act::Write(_))));
    }
}

/// One file, read row by row.
struct Table {
    path: PathBuf,
    headers: csv::StringRecord,
    rows: Vec<csv::StringRecord>,
}

impl Table {
    fn read(folder: &Path, name: &str) -> Result<Self, ProgramError> {
        let path = folder.join(name);
        let wrong = |error: csv::Error| {
            let row = error.position().map_or_else(String::new, |at| format!("row {}: ", at.record() + 1));
            let what = match error.kind() {
                csv::ErrorKind::Io(error) => error.to_string(),
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("{len} fields where the first row has {expected_len}")
                }
                csv::ErrorKind::Utf8 { .. } => "this is no UTF-8".into(),
                _ => error.to_string(),
            };
            no_conversation(&path, &(row + &what))
        };
        let mut reader = csv::Reader::from_path(&path).map_err(wrong)?;
        let headers = reader.headers().map_err(wrong)?.clone();
        let rows = reader.records().collect::<Result<_, _>>().map_err(wrong)?;
        Ok(Self { path, headers, rows })
    }

    fn wrong(&self, row: usize, what: impl Display) -> ProgramError {
        // People count from 1, and the first row holds the names of the columns.
        no_conversation(&self.path, &format!("row {}: {what}", row + 2))
    }

    fn column(&self, name: &str) -> Result<usize, ProgramError> {
        let found = self.headers.iter().position(|header| header.trim() == name);
        found.ok_or_else(|| no_conversation(&self.path, &format!("row 1: there is no column {name:?}")))
    }

    fn number(&self, row: usize, column: usize) -> Result<u64, ProgramError> {
        let text = self.rows[row].get(column).unwrap_or_default();
        text.trim()
            .parse()
            .map_err(|_| self.wrong(row, format!("{text:?} in {:?} is no number", &self.headers[column])))
    }

    fn vote(&self, row: usize, column: usize) -> Result<Choice, ProgramError> {
        let text = self.rows[row].get(column).unwrap_or_default();
        match text.trim() {
            "1" => Ok(Choice::Agree),
            "-1" => Ok(Choice::Disagree),
            "0" => Ok(Choice::Pass),
            _ => Err(self.wrong(row, format!("{text:?} in {:?} is no vote: 1, -1 or 0", &self.headers[column]))),
        }
    }
}

/// Reads a folder.
pub fn read(folder: &Path) -> Result<Conversation, ProgramError> {
    let (comments, votes) = (Table::read(folder, "comments.csv")?, Table::read(folder, "votes.csv")?);
    let cells = Table::read(folder, "participants-votes.csv")?;

    let participant = cells.column("participant")?;
    let mut people = BTreeMap::new();
    for row in 0..cells.rows.len() {
        if people.insert(cells.number(row, participant)?, row).is_some() {
            return Err(cells.wrong(row, "this participant has a row already"));
        }
    }
    let person = |table: &Table, row, column| {
        let name = table.number(row, column)?;
        let known = people.get(&name).copied();
        known.ok_or_else(|| table.wrong(row, format!("participant {name} has no row in participants-votes.csv")))
    };

    let mut happenings = Vec::with_capacity(comments.rows.len() + votes.rows.len());
    let (mut statements, mut index_of) = (Vec::new(), BTreeMap::new());
    let columns = (comments.column("timestamp")?, comments.column("comment-id")?, comments.column("author-id")?);
    let body = comments.column("comment-body")?;
    for row in 0..comments.rows.len() {
        let (at_ms, name) = (comments.number(row, columns.0)?, comments.number(row, columns.1)?);
        let author = person(&comments, row, columns.2)?;
        let text = comments.rows[row].get(body).unwrap_or_default().to_owned();
        if text.trim().is_empty() {
            return Err(comments.wrong(row, "this statement has no words"));
        }
        if index_of.insert(name, statements.len()).is_some() {
            return Err(comments.wrong(row, format!("statement {name} has a row already")));
        }
        happenings.push(Happening { at_ms, person: author, act: Act::Write(statements.len()) });
        statements.push(Statement { name, text });
    }

    let columns = (votes.column("timestamp")?, votes.column("comment-id")?, votes.column("voter-id")?);
    let vote = votes.column("vote")?;
    for row in 0..votes.rows.len() {
        let name = votes.number(row, columns.1)?;
        let statement = index_of.get(&name).copied();
        let statement = statement.ok_or_else(|| votes.wrong(row, format!("statement {name} isn't in comments.csv")))?;
        let (at_ms, choice) = (votes.number(row, columns.0)?, votes.vote(row, vote)?);
        let act = Act::Vote(statement, choice);
        happenings.push(Happening { at_ms, person: person(&votes, row, columns.2)?, act });
    }
    Conversation::order(&mut happenings);

    let mut expected = Matrix::new(people.len(), statements.len());
    for (column, header) in cells.headers.iter().enumerate() {
        let Ok(name) = header.trim().parse::<u64>() else { continue };
        let statement = index_of.get(&name).copied();
        let statement = statement
            .ok_or_else(|| no_conversation(&cells.path, &format!("row 1: statement {name} isn't in comments.csv")))?;
        for row in 0..cells.rows.len() {
            if !cells.rows[row].get(column).unwrap_or_default().trim().is_empty() {
                expected.set(row, statement, Some(cells.vote(row, column)?));
            }
        }
    }
    let mut names = vec![0; people.len()];
    for (name, row) in people {
        names[row] = name;
    }
    let title = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
    Ok(Conversation { title, statements, people: names, happenings, expected })
}

/// A file that was given is no part of a conversation: an argument that only its content can judge.
fn no_conversation(path: &Path, what: &str) -> ProgramError {
    ProgramError::Argument(format!("{}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMENTS: &str = "timestamp,datetime,comment-id,author-id,agrees,disagrees,moderated,comment-body\n\
                            100,x,5,2,9,9,-1,\"Two lines,\nand a comma\"\n";
    const VOTES: &str = "timestamp,datetime,comment-id,voter-id,vote\n300,x,5,1,-1\n200,x,5,1,1\n150,x,5,2,0\n";
    const CELLS: &str =
        "participant,group-id,n-comments,n-votes,n-agree,n-disagree,5\n1,0,0,1,0,1,-1\n2,,1,1,0,0,0\n7,,,,,,\n";

    fn conversation(comments: &str, votes: &str, cells: &str) -> Result<Conversation, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("comments.csv", comments), ("votes.csv", votes), ("participants-votes.csv", cells)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        read(folder.path()).map_err(|error| error.to_string().replace(&folder.path().display().to_string(), "."))
    }

    #[test]
    fn a_folder_is_read_in_order_of_time() {
        let read = conversation(COMMENTS, VOTES, CELLS).unwrap();
        assert_eq!(read.people, [1, 2, 7]);
        assert_eq!(read.statements[0].text, "Two lines,\nand a comma");
        let acts: Vec<_> = read.happenings.iter().map(|h| (h.at_ms, h.person, h.act)).collect();
        let vote = |at, person, choice| (at, person, Act::Vote(0, choice));
        let votes = [vote(150, 1, Choice::Pass), vote(200, 0, Choice::Agree), vote(300, 0, Choice::Disagree)];
        assert_eq!(acts, [vec![(100, 1, Act::Write(0))], votes.to_vec()].concat());
        assert_eq!((read.expected.count(), read.expected.get(0, 0)), (2, Some(Choice::Disagree)));
        assert_eq!(read.expected.get(2, 0), None);
    }

    #[test]
    fn a_file_that_does_not_fit_is_named_with_its_row() {
        let says = |comments: &str, votes: &str, cells: &str| conversation(comments, votes, cells).unwrap_err();
        let votes = VOTES.replace("200,x,5,1,1", "200,x,5,1,2");
        assert_eq!(says(COMMENTS, &votes, CELLS), "./votes.csv: row 3: \"2\" in \"vote\" is no vote: 1, -1 or 0");
        let votes = VOTES.replace("150,x,5,2", "150,x,6,2");
        assert_eq!(says(COMMENTS, &votes, CELLS), "./votes.csv: row 4: statement 6 isn't in comments.csv");
        let cells = CELLS.replace("\n2,", "\nx,");
        assert!(says(COMMENTS, VOTES, &cells).starts_with("./participants-votes.csv: row 3: \"x\""));
        let line = says(COMMENTS, "timestamp,vote\n1\n", CELLS);
        assert_eq!(line, "./votes.csv: row 2: 1 fields where the first row has 2");
        assert_eq!(says(COMMENTS, "timestamp\n", CELLS), "./votes.csv: row 1: there is no column \"comment-id\"");
    }
}
