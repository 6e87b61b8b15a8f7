//! One migration in one file of SQL.

use std::ops::Range;

use camino::Utf8Path;

use super::declaration::{At, Declaration};
use super::error::{Problem, SourceError};
use crate::backfill::{Keep, Spec};
use crate::capability::Capabilities;
use crate::digest::Digest;
use crate::document::nearest;
use crate::driver::Dialect;
use crate::revision::{Direction, Kind, Revision, Transactional};

/// The SQL of a migration, section by section.
#[derive(Debug)]
pub struct SqlFile {
    /// The whole file, with `\n` for every line ending.
    text: String,
    sections: Vec<Span>,
    digest: Digest,
    request: Option<Capabilities>,
}

/// A section's place in the file.
#[derive(Debug)]
struct Span {
    direction: Direction,
    form: Form,
    /// `None`: for every dialect that has no section of its own.
    dialect: Option<Dialect>,
    bytes: Range<usize>,
    first_line: u32,
}

/// How a section is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Statement by statement.
    Statements,
    /// As a backfill, of which it is the one statement.
    Backfill,
}

/// The SQL of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section<'a> {
    /// The text below the line that opens the section.
    pub text: &'a str,
    /// The 1-based line of the file that the text starts at.
    pub first_line: u32,
    /// How it is run.
    pub form: Form,
}

impl SqlFile {
    /// What to run in a direction on a dialect: its own section, else the one for all. `None` where the file has
    /// neither, so that the direction cannot be run; an empty section is a valid no-op.
    pub fn section(&self, direction: Direction, dialect: Dialect) -> Option<Section<'_>> {
        let find = |wanted: Option<Dialect>| {
            self.sections
                .iter()
                .find(|span| span.direction == direction && span.dialect == wanted)
        };
        find(Some(dialect))
            .or_else(|| find(None))
            .map(|span| Section {
                text: &self.text[span.bytes.clone()],
                first_line: span.first_line,
                form: span.form,
            })
    }

    /// The backfill that a direction is on a dialect; where an upgrade keeps old values, there is a way back without a section
    /// of its own.
    pub fn backfill(&self, direction: Direction, dialect: Dialect) -> Option<Spec> {
        let of = |direction| {
            let section = self.section(direction, dialect)?;
            (section.form == Form::Backfill)
                .then(|| Spec::declared(section.text, dialect).ok())
                .flatten()
        };
        match direction {
            Direction::Downgrade if self.section(direction, dialect).is_none() => {
                of(Direction::Upgrade).filter(|spec| spec.keep == Keep::OldValues)
            }
            // What an upgrade keeps is for the way back that is not written.
            Direction::Downgrade => of(direction).map(|spec| Spec {
                keep: Keep::Nothing,
                ..spec
            }),
            Direction::Upgrade => of(direction),
        }
    }

    /// What it asks for, where its header says so. It matters where a policy does not let SQL files do as they like.
    pub fn request(&self) -> Option<&Capabilities> {
        self.request.as_ref()
    }

    /// The digest of what runs: the sections, not the header, so that a better message or a label is no change.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn parse(
        path: &Utf8Path,
        content: Vec<u8>,
    ) -> Result<(Revision, Self), Vec<SourceError>> {
        let text =
            normalised(content).ok_or_else(|| vec![SourceError::new(path, Problem::NotUtf8)])?;
        if text.lines().next().and_then(directive) != Some("migration") {
            return Err(vec![SourceError {
                path: path.to_owned(),
                line: Some(1),
                problem: Problem::NotDeclared,
            }]);
        }
        let mut reader = Reader::new(path);
        reader.read(&text);
        let Reader {
            declaration,
            request,
            sections,
            mut errors,
            ..
        } = reader;

        let upgrades = |span: &Span| span.direction == Direction::Upgrade;
        // A section that was misspelt may have been the upgrade.
        if !sections.iter().any(upgrades) && !errors.iter().any(is_about_a_section) {
            errors.push(SourceError::new(path, Problem::NoUpgrade));
        }
        let name = path.file_stem().unwrap_or_default();
        for span in sections.iter().filter(|span| span.form == Form::Backfill) {
            let dialect = span.dialect.unwrap_or(Dialect::Postgresql);
            if let Err(unread) = Spec::declared(&text[span.bytes.clone()], dialect) {
                errors.push(SourceError {
                    path: path.to_owned(),
                    line: Some(span.first_line.saturating_add(unread.line)),
                    problem: Problem::Backfill(unread.message),
                });
            }
        }
        let mut revision = declaration.check(path, name, Kind::Sql, &mut errors);
        if let Some(revision) = &mut revision
            && sections.iter().any(|span| span.form == Form::Backfill)
        {
            revision.transactional = Transactional::Batches;
        }
        errors.sort_by_key(|error| error.line);
        match revision {
            Some(revision) if errors.is_empty() => {
                let file = Self {
                    digest: digest(&text, &sections),
                    text,
                    sections,
                    request,
                };
                Ok((revision, file))
            }
            _ => Err(errors),
        }
    }
}

fn digest(text: &str, sections: &[Span]) -> Digest {
    Digest::of_parts(sections.iter().flat_map(|span| {
        let dialect = span.dialect.map_or("", Dialect::name);
        let text = &text[span.bytes.clone()];
        let section = match (span.form, span.direction) {
            (Form::Statements, direction) => direction.name(),
            (Form::Backfill, Direction::Upgrade) => BACKFILL,
            (Form::Backfill, Direction::Downgrade) => "backfill downgrade",
        };
        [section, dialect, text].map(str::as_bytes)
    }))
}

fn is_about_a_section(error: &SourceError) -> bool {
    matches!(
        error.problem,
        Problem::UnknownSection { .. } | Problem::UnknownDialect { .. }
    )
}

/// The text of a file without a byte order mark and with `\n` for every line ending.
fn normalised(content: Vec<u8>) -> Option<String> {
    let mut text = String::from_utf8(content).ok()?;
    if text.contains('\r') {
        text = text.replace("\r\n", "\n");
    }
    if let Some(rest) = text.strip_prefix('\u{feff}') {
        text = rest.to_owned();
    }
    Some(text)
}

/// What stands behind `-- whimbrel:` in a line that is nothing else.
fn directive(line: &str) -> Option<&str> {
    let comment = line.trim().strip_prefix("--")?.trim_start();
    comment.strip_prefix("whimbrel:").map(str::trim)
}

const KEYS: [&str; 8] = [
    "id",
    "revises",
    "depends-on",
    "labels",
    "message",
    "created",
    "transaction",
    CAPABILITIES,
];
/// The key that may be given again and again.
const CAPABILITIES: &str = "capabilities";
const DIALECTS: [Dialect; 2] = [Dialect::Postgresql, Dialect::Sqlite];
/// The section whose statement is run as a backfill.
const BACKFILL: &str = "backfill";
const SECTIONS: [&str; 3] = ["upgrade", "downgrade", BACKFILL];
const DIRECTIONS: [Direction; 2] = [Direction::Upgrade, Direction::Downgrade];

/// Goes through the lines of a file.
struct Reader<'a> {
    path: &'a Utf8Path,
    declaration: Declaration,
    request: Option<Capabilities>,
    keys: Vec<&'static str>,
    sections: Vec<Span>,
    errors: Vec<SourceError>,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Utf8Path) -> Self {
        Self {
            path,
            declaration: Declaration::default(),
            request: None,
            keys: Vec::new(),
            sections: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn report(&mut self, line: u32, problem: Problem) {
        self.errors.push(SourceError {
            path: self.path.to_owned(),
            line: Some(line),
            problem,
        });
    }

    fn read(&mut self, text: &str) {
        let mut start = 0;
        let mut in_header = true;
        for (number, line) in (1u32..).zip(text.split_inclusive('\n')) {
            let end = start + line.len();
            if let Some(directive) = directive(line) {
                if number > 1 {
                    in_header = false;
                    self.open_section(directive, number, end);
                }
            } else if in_header {
                in_header = self.read_header(line.trim(), number);
            } else if let Some(section) = self.sections.last_mut() {
                section.bytes.end = end;
            }
            start = end;
        }
    }

    /// Reads a line of the header; `false` when the header cannot go on.
    fn read_header(&mut self, line: &str, number: u32) -> bool {
        if line.is_empty() {
            return true;
        }
        let Some(comment) = line.strip_prefix("--").map(str::trim) else {
            self.report(number, Problem::SqlInHeader);
            return false;
        };
        if comment.is_empty() {
            return true;
        }
        match comment.split_once(':') {
            Some((key, value)) if !key.contains(char::is_whitespace) => {
                self.read_key(key, value.trim(), number);
            }
            _ => self.report(number, Problem::NotAHeader(line.to_owned())),
        }
        true
    }

    fn read_key(&mut self, key: &str, value: &str, line: u32) {
        let Some(&key) = KEYS.iter().find(|&&known| known == key) else {
            let problem = Problem::UnknownKey {
                key: key.to_owned(),
                suggestion: nearest(key, KEYS),
            };
            return self.report(line, problem);
        };
        if self.keys.contains(&key) && key != CAPABILITIES {
            return self.report(line, Problem::DuplicateKey(key));
        }
        self.keys.push(key);
        if value.is_empty() {
            return self.report(line, Problem::EmptyKey(key));
        }
        let text = || {
            Some(At {
                line,
                value: value.to_owned(),
            })
        };
        let list = || {
            Some(At {
                line,
                value: value
                    .split(',')
                    .map(|item| item.trim().to_owned())
                    .collect(),
            })
        };
        match key {
            "id" => self.declaration.id = text(),
            "revises" => self.declaration.revises = list(),
            "depends-on" => self.declaration.depends_on = list(),
            "labels" => self.declaration.labels = list(),
            "message" => self.declaration.message = text(),
            "created" => self.declaration.created = text(),
            CAPABILITIES => match value.parse::<Capabilities>() {
                Ok(asked) => self.request.get_or_insert(Capabilities::NONE).extend(asked),
                Err(invalid) => self.report(line, Problem::Capability(invalid)),
            },
            _ => self.read_transaction(value, line),
        }
    }

    fn read_transaction(&mut self, value: &str, line: u32) {
        self.declaration.transactional = match value {
            "true" => Transactional::Yes,
            "migration" => Transactional::Alone,
            "false" => Transactional::No,
            other => return self.report(line, Problem::Transaction(other.to_owned())),
        };
    }

    fn open_section(&mut self, directive: &str, line: u32, start: usize) {
        let mut words = directive.split_whitespace();
        let name = words.next().unwrap_or_default();
        let named = DIRECTIONS.into_iter().find(|known| known.name() == name);
        let (direction, form) = match named {
            Some(direction) => (direction, Form::Statements),
            None if name == BACKFILL && words.clone().next() == Some("downgrade") => {
                words.next();
                (Direction::Downgrade, Form::Backfill)
            }
            None if name == BACKFILL => (Direction::Upgrade, Form::Backfill),
            None => {
                let problem = Problem::UnknownSection {
                    section: directive.to_owned(),
                    suggestion: nearest(name, SECTIONS),
                };
                return self.report(line, problem);
            }
        };
        let given: Vec<&str> = words.collect();
        let dialect = match given.as_slice() {
            [] => None,
            given => {
                let given = given.join(" ");
                match DIALECTS.into_iter().find(|known| known.name() == given) {
                    Some(dialect) => Some(dialect),
                    None => {
                        let dialect = given;
                        return self.report(line, Problem::UnknownDialect { dialect });
                    }
                }
            }
        };
        let same = |span: &&Span| span.direction == direction && span.dialect == dialect;
        if let Some(earlier) = self.sections.iter().find(same) {
            let problem = Problem::DuplicateSection {
                section: format!("whimbrel:{directive}"),
                first: earlier.first_line - 1,
            };
            return self.report(line, problem);
        }
        self.sections.push(Span {
            direction,
            form,
            dialect,
            bytes: start..start,
            first_line: line + 1,
        });
    }
}

#[cfg(test)]
mod tests;
