//! What a migration says about itself, in a SQL header or in `migration.toml`.

use camino::Utf8Path;
use jiff::Timestamp;

use super::error::{Problem, SourceError};
use crate::revision::{InvalidName, Kind, Revision, RevisionId, Transactional, check_name};

/// A value and the 1-based line it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) line: u32,
    pub(super) value: T,
}

/// The keys that both forms have, before they are checked.
#[derive(Debug, Default)]
pub(super) struct Declaration {
    pub(super) id: Option<At<String>>,
    pub(super) revises: Option<At<Vec<String>>>,
    pub(super) depends_on: Option<At<Vec<String>>>,
    pub(super) labels: Option<At<Vec<String>>>,
    pub(super) message: Option<At<String>>,
    pub(super) created: Option<At<String>>,
    pub(super) transactional: Transactional,
}

impl Declaration {
    /// Checks every key. `name` is the name of the file or folder without its extension.
    pub(super) fn check(
        self,
        path: &Utf8Path,
        name: &str,
        kind: Kind,
        errors: &mut Vec<SourceError>,
    ) -> Option<Revision> {
        let mut checker = Checker { path, errors };
        let revises = checker.ids("revises", self.revises);
        let depends_on = checker.ids("depends-on", self.depends_on);
        let labels = checker.labels(self.labels);
        let created = checker.time(self.created);
        let id = checker.id(self.id)?;
        let slug = checker.file_name(&id, name, kind);
        Some(Revision {
            message: match self.message {
                Some(message) => message.value,
                None => slug.replace('_', " "),
            },
            id,
            revises,
            depends_on,
            labels,
            created,
            path: path.to_owned(),
            kind,
            transactional: self.transactional,
        })
    }
}

struct Checker<'a> {
    path: &'a Utf8Path,
    errors: &'a mut Vec<SourceError>,
}

impl Checker<'_> {
    fn report(&mut self, line: u32, problem: Problem) {
        self.errors.push(SourceError {
            path: self.path.to_owned(),
            line: Some(line),
            problem,
        });
    }

    fn name<T>(
        &mut self,
        key: &'static str,
        line: u32,
        checked: Result<T, InvalidName>,
    ) -> Option<T> {
        checked
            .map_err(|invalid| self.report(line, Problem::Name { key, invalid }))
            .ok()
    }

    fn id(&mut self, given: Option<At<String>>) -> Option<RevisionId> {
        match given {
            Some(At { line, value }) => self.name("id", line, RevisionId::new(&value)),
            None => {
                self.errors
                    .push(SourceError::new(self.path, Problem::MissingKey("id")));
                None
            }
        }
    }

    fn ids(&mut self, key: &'static str, given: Option<At<Vec<String>>>) -> Vec<RevisionId> {
        let Some(At { line, value }) = given else {
            return Vec::new();
        };
        value
            .iter()
            .filter_map(|id| self.name(key, line, RevisionId::new(id)))
            .collect()
    }

    fn labels(&mut self, given: Option<At<Vec<String>>>) -> Vec<String> {
        let Some(At { line, value }) = given else {
            return Vec::new();
        };
        for label in &value {
            self.name("labels", line, check_name(label));
        }
        value
    }

    fn time(&mut self, given: Option<At<String>>) -> Option<Timestamp> {
        let At { line, value } = given?;
        value
            .parse()
            .map_err(|_| self.report(line, Problem::Time(value)))
            .ok()
    }

    /// Checks the file's name against the id; returns what follows the id in it.
    fn file_name<'a>(&mut self, id: &RevisionId, name: &'a str, kind: Kind) -> &'a str {
        match name.strip_prefix(id.as_str()) {
            Some("") => "",
            Some(rest) if rest.starts_with('_') => &rest[1..],
            _ => {
                let extension = match kind {
                    Kind::Sql => ".sql",
                    Kind::Component => "",
                };
                let slug = name.split_once('_').map_or(name, |(_, slug)| slug);
                let expected = format!("{id}_{slug}{extension}");
                self.errors
                    .push(SourceError::new(self.path, Problem::FileName { expected }));
                ""
            }
        }
    }
}
