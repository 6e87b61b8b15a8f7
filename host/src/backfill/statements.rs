//! The statements that read and write the rows of a backfill.

use super::job::Job;
use super::keys::{Key, Span};
use super::spec::{Change, Drops, Keep};
use crate::driver::{Batch, Dialect, Run, Statement, Value};

/// What a reading of rows is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// They may change before they are written; each comes with what tells whether it has.
    Ahead,
    /// Nobody else changes them until the transaction ends.
    Locked,
}

/// How a row that is written is known to be as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// It is locked.
    Locked,
    /// All rows of the batch had this version, as rows have that came in one transaction.
    Same(u32),
    /// Each has its own.
    Each,
}

impl Version {
    /// That of rows that were read.
    pub(super) fn of(rows: &Batch, reading: Reading) -> Self {
        if reading == Reading::Locked {
            return Self::Locked;
        }
        let Some(Run::Blobs(versions, ends)) = rows.columns().last().map(|cells| cells.run())
        else {
            return Self::Each;
        };
        let mut each = versions.chunks_exact(size_of::<u32>());
        let first = each.next().and_then(|first| first.try_into().ok());
        let same = first.filter(|first: &[u8; 4]| each.all(|version| version == first));
        match same {
            Some(version) if versions.len() == ends.len() * version.len() => {
                Self::Same(u32::from_be_bytes(version))
            }
            _ => Self::Each,
        }
    }
}

impl Job {
    pub(super) fn qualified<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Vec<String> {
        names
            .into_iter()
            .map(|name| format!("{}.{name}", self.qualifier))
            .collect()
    }

    /// ` WHERE …` from those conditions that are not empty.
    pub(super) fn filter(&self, others: &[&str]) -> String {
        let own = self.condition.as_ref().map(|own| format!("({own}\n)"));
        let all: Vec<&str> = own
            .as_deref()
            .into_iter()
            .chain(others.iter().copied())
            .filter(|condition| !condition.is_empty())
            .collect();
        match all.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", all.join(" AND ")),
        }
    }

    /// What a reading brings: the key, what is read, then what is overwritten where that is kept, then the version of the
    /// row where it is read ahead.
    pub(super) fn selected(&self, reading: Reading) -> String {
        let mut columns = self.key_selected();
        columns.extend(self.qualified(&self.reads));
        if self.keep == Keep::OldValues {
            columns.extend(self.qualified(&self.writes));
        }
        if reading == Reading::Ahead {
            columns.push(format!("pg_catalog.xidsend({}.xmin)", self.qualifier));
        }
        columns.join(", ")
    }

    pub(super) fn locking(&self, reading: Reading) -> String {
        let strength = match self.drops {
            Drops::Never => "NO KEY UPDATE",
            Drops::Rows => "UPDATE",
        };
        match (reading, self.dialect) {
            (Reading::Locked, Dialect::Postgresql) => {
                format!(" FOR {strength} OF {}", self.qualifier)
            }
            _ => String::new(),
        }
    }

    /// The key's columns, as they are read. SQLite makes nothing of the column's type where it is given an expression, so that
    /// a key comes back as it is stored, and is found again by what came.
    pub(super) fn key_selected(&self) -> Vec<String> {
        match self.dialect {
            Dialect::Postgresql => self.key.clone(),
            Dialect::Sqlite => self.key.iter().map(|name| format!("+{name}")).collect(),
        }
    }

    /// The key's columns as `k1`, `k2`, ….
    fn key_aliased(&self) -> String {
        let aliased: Vec<String> = (self.key_selected().iter().zip(1..))
            .map(|(column, at)| format!("{column} AS k{at}"))
            .collect();
        aliased.join(", ")
    }

    /// Reads the next rows in the order of the key, without locks.
    pub(super) fn read_ahead(&self, span: &Span, most: usize) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        Statement {
            sql: format!(
                "SELECT {} FROM {}{} ORDER BY {} LIMIT {most}",
                self.selected(Reading::Ahead),
                self.source,
                self.filter(&[&within]),
                self.key.join(", "),
            ),
            params,
        }
    }

    /// Reads, and locks, all rows of a span.
    ///
    /// Not the next so many: where a row has to be waited for, and comes with another key, what is read last is not the row
    /// that lies last, and those between would be left out.
    pub(super) fn read_locked(&self, span: &Span) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        Statement {
            sql: format!(
                "SELECT {} FROM {}{} ORDER BY {}{}",
                self.selected(Reading::Locked),
                self.source,
                self.filter(&[&within]),
                self.key.join(", "),
                self.locking(Reading::Locked)
            ),
            params,
        }
    }

    /// Reads, and locks, the rows that this transaction has not written.
    pub(super) fn read_unwritten(&self, span: &Span) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        let unwritten = format!(
            "{}.xmin <> pg_catalog.pg_current_xact_id()::xid",
            self.qualifier
        );
        Statement {
            sql: format!(
                "SELECT {} FROM {}{} ORDER BY {}{}",
                self.selected(Reading::Locked),
                self.source,
                self.filter(&[&within, &unwritten]),
                self.key.join(", "),
                self.locking(Reading::Locked)
            ),
            params,
        }
    }

    /// The key of the last of the next rows, whether the condition holds for them or not, and how many they are.
    pub(super) fn boundary(&self, span: &Span, most: usize) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        let within = match within.is_empty() {
            true => String::new(),
            false => format!(" WHERE {within}"),
        };
        self.last_of(&within, params, most)
    }

    /// The same of the next rows that the condition holds for.
    pub(super) fn end_of_next(&self, span: &Span, most: usize) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        self.last_of(&self.filter(&[&within]), params, most)
    }

    fn last_of(&self, filter: &str, params: Vec<Value>, most: usize) -> Statement {
        let key = self.key.join(", ");
        Statement {
            sql: format!(
                "SELECT {}, n FROM (SELECT {}, row_number() OVER (ORDER BY {key}) AS n FROM {}{filter} ORDER BY {key} LIMIT {most}) AS next \
                 ORDER BY n DESC LIMIT 1",
                self.note_columns().join(", "),
                self.key_aliased(),
                self.source
            ),
            params,
        }
    }

    /// Evenly spaced keys that cut a span into so many pieces, from a sample of it.
    pub(super) fn cuts(&self, span: &Span, pieces: u64, sample: Option<f64>) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        let sample = sample.map_or_else(String::new, |percent| {
            format!(" TABLESAMPLE SYSTEM ({percent:.6})")
        });
        let within = match within.is_empty() {
            true => String::new(),
            false => format!(" WHERE {within}"),
        };
        Statement {
            sql: format!(
                "SELECT {columns} FROM (SELECT {}, row_number() OVER (ORDER BY {}) AS n, count(*) OVER () AS total FROM {}{sample}{within}) AS sampled \
                 WHERE total >= {pieces} AND n * {pieces} / total > (n - 1) * {pieces} / total AND n < total ORDER BY n",
                self.key_aliased(),
                self.key.join(", "),
                self.source,
                columns = self.note_columns().join(", "),
            ),
            params,
        }
    }

    /// How many rows a span has, at most so many.
    pub(super) fn count(&self, span: &Span, most: u64) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        let within = match within.is_empty() {
            true => String::new(),
            false => format!(" WHERE {within}"),
        };
        Statement {
            sql: format!(
                "SELECT count(*) FROM (SELECT 1 FROM {}{within} LIMIT {most}) AS counted",
                self.source
            ),
            params,
        }
    }

    /// Writes new values into the row of a key, which is one of these: `$1` and on are the values, then comes the key, then
    /// the version that was read ahead, where each has its own.
    pub(super) fn write(&self, reading: Reading, rows: &Batch) -> String {
        let sets: Vec<String> = (self.writes.iter().zip(1..))
            .map(|(name, at)| format!("{name} = ${at}"))
            .collect();
        format!(
            "UPDATE {} SET {} WHERE {}{}",
            self.table.name,
            sets.join(", "),
            self.is_row(self.writes.len() + 1, Version::of(rows, reading)),
            self.between(reading, rows)
        )
    }

    /// Deletes the row of a key, which is one of these.
    pub(super) fn delete(&self, reading: Reading, rows: &Batch) -> String {
        format!(
            "DELETE FROM {} WHERE {}{}",
            self.table.name,
            self.is_row(1, Version::of(rows, reading)),
            self.between(reading, rows)
        )
    }

    /// ` AND …`: that a row lies between the first and the last of these, which are in the order of the key. That is true of
    /// each of them anyway; but with a key alone, PostgreSQL may join a batch with the whole index from its beginning. Rows
    /// that had to be waited for need not be in their order ([`Job::prefer_lookups`] is for them).
    fn between(&self, reading: Reading, rows: &Batch) -> String {
        if (self.dialect, reading) != (Dialect::Postgresql, Reading::Ahead) || rows.len() < 2 {
            return String::new();
        }
        let (first, last) = (self.key_of(rows, 0), self.key_of(rows, rows.len() - 1));
        let literals = |key: Key| -> Vec<String> {
            let exact = key.0.iter().map_while(exact_literal);
            exact.collect()
        };
        let (first, last) = (literals(first), literals(last));
        let width = first.len().min(last.len());
        if width == 0 {
            return String::new();
        }
        let columns = self.table.key[..width].join(", ");
        format!(
            " AND ({columns}) >= ({}) AND ({columns}) <= ({})",
            first[..width].join(", "),
            last[..width].join(", ")
        )
    }

    pub(super) fn is_row(&self, first: usize, version: Version) -> String {
        let mut conditions: Vec<String> = (self.table.key.iter().zip(first..))
            .map(|(name, at)| format!("{name} = ${at}"))
            .collect();
        // In parentheses it is no part of the key that `execute-many` tells rows apart by.
        match version {
            Version::Locked => {}
            Version::Same(version) => {
                conditions.push(format!("(xmin) = '{version}'::pg_catalog.xid"));
            }
            Version::Each => conditions.push(format!("(xmin) = ${}", first + self.key.len())),
        }
        conditions.join(" AND ")
    }

    /// Has PostgreSQL look rows up by their keys, which are few, rather than go through an index from its beginning.
    pub(super) fn prefer_lookups(&self) -> Option<&'static str> {
        (self.dialect == Dialect::Postgresql).then_some("SET LOCAL enable_mergejoin = off")
    }

    /// Has the database make and write the new values of a span.
    pub(super) fn express(&self, set: &str, span: &Span) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        Statement {
            sql: format!(
                "UPDATE {} SET {set}{}",
                self.source,
                self.filter(&[&within, &self.is_kept()])
            ),
            params,
        }
    }

    /// The same of rows that others have changed.
    pub(super) fn express_noted(&self, set: &str, upto: i64) -> Statement {
        Statement {
            sql: format!(
                "UPDATE {} SET {set}{}",
                self.source,
                self.filter(&[&self.noted(), &self.is_kept()])
            ),
            params: vec![Value::Int64(upto)],
        }
    }

    /// The keys that this transaction has written.
    pub(super) fn written(&self, span: &Span) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        let written = format!(
            "{}.xmin = pg_catalog.pg_current_xact_id()::xid",
            self.qualifier
        );
        let conditions: Vec<&str> = [within.as_str(), written.as_str()]
            .into_iter()
            .filter(|condition| !condition.is_empty())
            .collect();
        Statement {
            sql: format!(
                "SELECT {} FROM {} WHERE {}",
                self.key.join(", "),
                self.source,
                conditions.join(" AND ")
            ),
            params,
        }
    }

    /// Keeps writers out until the transaction ends. SQLite has no other one anyway.
    pub(super) fn shut(&self) -> Option<String> {
        match self.dialect {
            Dialect::Postgresql => Some(format!(
                "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
                self.table.name
            )),
            Dialect::Sqlite => None,
        }
    }

    /// The statements that the author has a part in, over rows that there are none of, so that they can be judged under
    /// the author's own grant.
    pub(super) fn probes(&self) -> Vec<String> {
        let mut probes = vec![format!(
            "SELECT {} FROM {}{} LIMIT 0",
            {
                let mut columns = self.key.clone();
                columns.extend(self.qualified(&self.reads));
                columns.join(", ")
            },
            self.source,
            self.filter(&[])
        )];
        let sets: Vec<String> = self
            .writes
            .iter()
            .map(|name| format!("{name} = NULL"))
            .collect();
        probes.push(match &self.change {
            Change::Expression(set) => {
                format!(
                    "UPDATE {} SET {set}{}",
                    self.source,
                    self.filter(&["false"])
                )
            }
            Change::Transform => format!(
                "UPDATE {} SET {} WHERE false",
                self.table.name,
                sets.join(", ")
            ),
        });
        if self.drops == Drops::Rows {
            probes.push(format!("DELETE FROM {} WHERE false", self.table.name));
        }
        probes
    }

    /// Statements that write some rows as they are, and drop them where the author says that this may be.
    pub(super) fn touches(&self) -> Vec<String> {
        const SOME: usize = 20;
        let skipping = match self.dialect {
            Dialect::Postgresql => format!(" FOR UPDATE OF {} SKIP LOCKED", self.qualifier),
            Dialect::Sqlite => String::new(),
        };
        let some = format!(
            "({}) IN (SELECT {} FROM {}{} ORDER BY {} LIMIT {SOME}{skipping})",
            self.table.key.join(", "),
            self.key.join(", "),
            self.source,
            self.filter(&[]),
            self.key.join(", "),
        );
        let sets: Vec<String> = (self.writes.iter())
            .map(|name| format!("{name} = {name}"))
            .collect();
        let mut touches = vec![format!(
            "UPDATE {} SET {} WHERE {some}",
            self.table.name,
            sets.join(", ")
        )];
        if self.drops == Drops::Rows {
            touches.push(format!("DELETE FROM {} WHERE {some}", self.table.name));
        }
        touches
    }

    /// Some rows of a span: key, what is read, and what is written.
    pub(super) fn shown_rows(&self, span: &Span, most: usize) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        let mut columns = self.key_selected();
        columns.extend(self.qualified(&self.reads));
        columns.extend(self.qualified(&self.writes));
        Statement {
            sql: format!(
                "SELECT {} FROM {}{} ORDER BY {} LIMIT {most}",
                columns.join(", "),
                self.source,
                self.filter(&[&within]),
                self.key.join(", ")
            ),
            params,
        }
    }

    /// The key of one row and what new values are made of, whether the condition holds for it or not.
    pub(super) fn input(&self, key: &Key) -> Statement {
        let plus = match self.dialect {
            Dialect::Postgresql => "",
            Dialect::Sqlite => "+",
        };
        let keys = self.table.key.iter().map(|name| format!("{plus}{name}"));
        let columns: Vec<String> = keys.chain(self.reads.iter().cloned()).collect();
        Statement {
            sql: format!(
                "SELECT {} FROM {} WHERE {}",
                columns.join(", "),
                self.table.name,
                self.is_row(1, Version::Locked)
            ),
            params: key.0.clone(),
        }
    }

    /// What is written of one row.
    pub(super) fn shown_row(&self, key: &Key) -> Statement {
        Statement {
            sql: format!(
                "SELECT {} FROM {} WHERE {}",
                self.writes.join(", "),
                self.table.name,
                self.is_row(1, Version::Locked)
            ),
            params: key.0.clone(),
        }
    }
}

/// A value in quotes, where it is certain that it means the same as the value.
fn exact_literal(value: &Value) -> Option<String> {
    let text = match value {
        Value::Int16(number) => number.to_string(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Uuid(text) => text.clone(),
        Value::Text(text) if !text.contains(['\\', '\0']) => text.replace('\'', "''"),
        _ => return None,
    };
    Some(format!("'{text}'"))
}
