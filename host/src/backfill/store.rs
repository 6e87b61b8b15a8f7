//! The tables that coordinate a backfill: what it is, its ranges, its workers, and the rows that were set aside.
//!
//! Times are seconds since 1970 by the clock of the database, which is the only one that counts.

use super::keys::{Key, Span};
use super::record::{
    BadRow, Counts, RANGE, Range, Record, State, count, number_of, range, record, text, text_of,
};
use super::settings::Settings;
use super::spec::{Order, Spec};
use crate::driver::{Dialect, DriverError, ResultLimit, Session, Statement, Value};
use crate::revision::{Direction, RevisionId};
use crate::sql::guard::Protected;

/// How long a worker has a range for, unless it gives a sign of life.
pub(super) const LEASE_SECONDS: u32 = 30;

/// What a worker is doing where nothing keeps it from that.
pub(super) const WORKS: &str = "works";

/// How old the last sign of life of a worker may be that counts as one.
pub(super) const ALIVE_SECONDS: u32 = 15;

/// The names of the tables.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    dialect: Dialect,
    /// `"schema".` or nothing.
    prefix: String,
    protected: Protected,
}

/// The batch's part of a commit.
#[derive(Debug, Clone)]
pub(super) struct Advance<'a> {
    pub(super) range: &'a Range,
    pub(super) owner: &'a str,
    /// How far the range is done with this.
    pub(super) cursor: Option<&'a Key>,
    pub(super) is_done: bool,
    pub(super) counts: Counts,
    pub(super) busy_us: i64,
}

impl Store {
    /// The tables beside a version table; `prefix` is its schema in quotes with a dot, or nothing.
    pub(crate) fn new(dialect: Dialect, prefix: String, protected: Protected) -> Self {
        Self {
            dialect,
            prefix,
            protected,
        }
    }

    /// Whether a table, by its name alone, is one of Whimbrel's own.
    pub(super) fn is_own(&self, table: &str) -> bool {
        self.protected.covers(table)
    }

    /// What stands before the names of its tables.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A name with its schema.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}\"{name}\"", self.prefix)
    }

    /// The same tables by names that mean them whatever the search path is, which a trigger does not choose.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn with_schema(self, session: &mut dyn Session) -> Result<Self, DriverError> {
        const SCHEMA: &str = "SELECT coalesce((SELECT n.nspname FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = pg_catalog.to_regclass('whimbrel_backfill')::oid), pg_catalog.current_schema())::text";
        if self.dialect != Dialect::Postgresql || !self.prefix.is_empty() {
            return Ok(self);
        }
        let found = session.query(SCHEMA, &[], ResultLimit::NONE).await?;
        let schema = found.into_rows().into_iter().flatten().next();
        Ok(match schema {
            Some(Value::Text(schema)) => Self {
                prefix: format!("\"{}\".", schema.replace('"', "\"\"")),
                ..self
            },
            _ => self,
        })
    }

    fn backfills(&self) -> String {
        self.name("whimbrel_backfill")
    }

    pub(super) fn ranges(&self) -> String {
        self.name("whimbrel_backfill_range")
    }

    pub(super) fn workers(&self) -> String {
        self.name("whimbrel_backfill_worker")
    }

    fn bad_rows(&self) -> String {
        self.name("whimbrel_backfill_row")
    }

    /// The time now.
    pub(super) fn now(&self) -> &'static str {
        match self.dialect {
            Dialect::Postgresql => {
                "CAST(EXTRACT(EPOCH FROM pg_catalog.clock_timestamp()) AS double precision)"
            }
            Dialect::Sqlite => "((julianday('now') - 2440587.5) * 86400.0)",
        }
    }

    fn minute(&self) -> &'static str {
        match self.dialect {
            Dialect::Postgresql => {
                "CAST(EXTRACT(HOUR FROM LOCALTIME) * 60 + EXTRACT(MINUTE FROM LOCALTIME) AS bigint)"
            }
            Dialect::Sqlite => {
                "CAST(strftime('%H', 'now', 'localtime') * 60 + strftime('%M', 'now', 'localtime') AS integer)"
            }
        }
    }

    /// What a statement that is a transaction of its own returns as well where it need not wait until it is on the disk, and all
    /// batches before it: a crash of the server takes workers' connections along, and with them who has which range.
    pub(super) fn soon(&self, returning: &str) -> String {
        match self.dialect {
            Dialect::Postgresql => {
                format!("{returning} pg_catalog.set_config('synchronous_commit', 'off', true)")
            }
            Dialect::Sqlite => String::new(),
        }
    }

    /// What makes the tables where they are missing.
    pub(super) fn definitions(&self) -> [String; 4] {
        let (number, real) = match self.dialect {
            Dialect::Postgresql => ("bigint", "double precision"),
            Dialect::Sqlite => ("integer", "real"),
        };
        [
            format!(
                "CREATE TABLE IF NOT EXISTS {} (revision text NOT NULL PRIMARY KEY, direction text NOT NULL, \
                 digest text NOT NULL, state text NOT NULL, reason text NOT NULL DEFAULT '', settings text NOT NULL, spec text NOT NULL, \
                 table_name text NOT NULL, estimate {number} NOT NULL, started {real} NOT NULL, ended {real})",
                self.backfills()
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {} (revision text NOT NULL, number {number} NOT NULL, after text, upto text, estimate {number} NOT NULL, \
                 cursor text, state text NOT NULL, owner text NOT NULL DEFAULT '', lease_until {real} NOT NULL DEFAULT 0, \
                 rows_read {number} NOT NULL DEFAULT 0, rows_written {number} NOT NULL DEFAULT 0, \
                 rows_kept {number} NOT NULL DEFAULT 0, rows_dropped {number} NOT NULL DEFAULT 0, \
                 rows_bad {number} NOT NULL DEFAULT 0, batches {number} NOT NULL DEFAULT 0, \
                 busy_us {number} NOT NULL DEFAULT 0, PRIMARY KEY (revision, number))",
                self.ranges()
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {} (worker text NOT NULL PRIMARY KEY, revision text NOT NULL, \
                 place text NOT NULL, pid {number} NOT NULL, process text, doing text NOT NULL, rows_done {number} NOT NULL, \
                 seen {real} NOT NULL)",
                self.workers()
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {} (revision text NOT NULL, key text NOT NULL, error text NOT NULL, \
                 input text, found {real} NOT NULL, PRIMARY KEY (revision, key))",
                self.bad_rows()
            ),
        ]
    }

    /// Makes the tables where they are missing, for nobody but their owner: what they say is done, and old values are in them.
    ///
    /// # Errors
    /// [`DriverError::Denied`] where someone else has made them.
    pub(super) async fn make(&self, session: &mut dyn Session) -> Result<(), DriverError> {
        for sql in self.definitions() {
            session.run(&sql).await?;
        }
        let own = [
            self.backfills(),
            self.ranges(),
            self.workers(),
            self.bad_rows(),
        ];
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        self.keep_private(session, &own).await
    }

    /// Takes the rights on tables away that default privileges gave to others.
    pub(super) async fn keep_private(
        &self,
        session: &mut dyn Session,
        tables: &[&str],
    ) -> Result<(), DriverError> {
        const FOREIGN: &str = "SELECT pg_catalog.pg_get_userbyid(c.relowner)::text FROM pg_catalog.pg_class c \
             WHERE c.oid = $1::text::pg_catalog.regclass AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')";
        const OTHERS: &str = "SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' \
                 ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END \
             FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a \
             WHERE c.oid = $1::text::pg_catalog.regclass AND a.grantee <> c.relowner";
        if self.dialect != Dialect::Postgresql {
            return Ok(());
        }
        for table in tables {
            let name = [Value::from(*table)];
            let foreign = session.query(FOREIGN, &name, ResultLimit::NONE).await?;
            if let Some(owner) = foreign.into_rows().into_iter().flatten().next() {
                return Err(DriverError::Denied {
                    operation: "a backfill".to_owned(),
                    object: (*table).to_owned(),
                    reason: format!(
                        "it belongs to {}, and whoever owns it could have workers do as they like: drop it, or give it to the user of this database",
                        text(Some(owner))
                    ),
                });
            }
            let others = session.query(OTHERS, &name, ResultLimit::NONE).await?;
            for other in others.into_rows().into_iter().flatten() {
                let revoke = format!("REVOKE ALL ON {table} FROM {}", text(Some(other)));
                session.run(&revoke).await?;
            }
        }
        Ok(())
    }

    /// Writes the row of a new backfill.
    pub(super) fn begin(
        &self,
        revision: &RevisionId,
        direction: Direction,
        digest: &str,
        settings: &Settings,
        (table, spec): (&str, &Spec),
        estimate: u64,
    ) -> Statement {
        Statement::new(
            format!(
                "INSERT INTO {} (revision, direction, digest, state, settings, table_name, spec, estimate, started) \
                 VALUES ($1, $2, $3, 'running', $4, $5, $6, $7, {})",
                self.backfills(),
                self.now()
            ),
            [
                Value::from(revision.as_str()),
                Value::from(direction.name()),
                Value::from(digest),
                Value::from(serde_json::to_string(settings).unwrap_or_default()),
                Value::from(table),
                Value::from(serde_json::to_string(spec).unwrap_or_default()),
                number_of(estimate),
            ],
        )
    }

    /// Deletes all that is known of a backfill but its own row.
    pub(super) fn forget_details(&self, revision: &str) -> [Statement; 3] {
        [self.ranges(), self.workers(), self.bad_rows()].map(|table| {
            Statement::new(
                format!("DELETE FROM {table} WHERE revision = $1"),
                [Value::from(revision)],
            )
        })
    }

    /// Deletes its own row.
    pub(super) fn forget(&self, revision: &str) -> Statement {
        Statement::new(
            format!("DELETE FROM {} WHERE revision = $1", self.backfills()),
            [Value::from(revision)],
        )
    }

    /// Deletes its own row, unless it is done.
    pub(super) fn forget_undone(&self, revision: &str) -> Statement {
        let Statement { sql, params } = self.forget(revision);
        Statement {
            sql: format!("{sql} AND state <> 'done'"),
            params,
        }
    }

    /// Writes a new range, of about so many rows.
    pub(super) fn add_range(
        &self,
        revision: &RevisionId,
        number: i64,
        span: &Span,
        estimate: u64,
    ) -> Statement {
        Statement::new(
            format!(
                "INSERT INTO {} (revision, number, after, upto, estimate, state) VALUES ($1, $2, $3, $4, $5, 'open')",
                self.ranges()
            ),
            [
                Value::from(revision.as_str()),
                Value::Int64(number),
                text_of(span.after.as_ref()),
                text_of(span.upto.as_ref()),
                number_of(estimate),
            ],
        )
    }

    /// Gives a range, which must not have moved, another end, before which it has about so many rows.
    pub(super) fn shorten(
        &self,
        revision: &RevisionId,
        range: &Range,
        upto: &Key,
        estimate: u64,
    ) -> Statement {
        Statement::new(
            format!(
                "UPDATE {} SET upto = $3, estimate = $6 WHERE revision = $1 AND number = $2 AND state = 'open' \
                 AND cursor IS NOT DISTINCT FROM $4 AND upto IS NOT DISTINCT FROM $5",
                self.ranges()
            ),
            [
                Value::from(revision.as_str()),
                Value::Int64(range.number),
                Value::from(upto.to_text()),
                text_of(range.cursor.as_ref()),
                text_of(range.span.upto.as_ref()),
                number_of(estimate),
            ],
        )
    }

    /// Moves a range on; touches no row where another worker has it by now, or has moved or split it.
    pub(super) fn advance(&self, revision: &RevisionId, advance: &Advance<'_>) -> Statement {
        let number = number_of;
        let (range, counts) = (advance.range, advance.counts);
        Statement::new(
            format!(
                "UPDATE {} SET cursor = $1, state = $2, rows_read = rows_read + $3, rows_written = rows_written + $4, \
                 rows_kept = rows_kept + $5, rows_dropped = rows_dropped + $6, rows_bad = rows_bad + $7, \
                 batches = batches + 1, busy_us = busy_us + $8, lease_until = {} + {LEASE_SECONDS} \
                 WHERE revision = $9 AND number = $10 AND owner = $11 AND state = 'open' \
                 AND cursor IS NOT DISTINCT FROM $12 AND upto IS NOT DISTINCT FROM $13",
                self.ranges(),
                self.now()
            ),
            [
                text_of(advance.cursor),
                Value::from(if advance.is_done { "done" } else { "open" }),
                number(counts.read),
                number(counts.written),
                number(counts.kept),
                number(counts.dropped),
                number(counts.bad),
                Value::Int64(advance.busy_us),
                Value::from(revision.as_str()),
                Value::Int64(range.number),
                Value::from(advance.owner),
                text_of(range.cursor.as_ref()),
                text_of(range.span.upto.as_ref()),
            ],
        )
    }

    /// Takes the next range that nobody has, or whose worker has given no sign of life.
    pub(super) async fn claim(
        &self,
        session: &mut dyn Session,
        revision: &RevisionId,
        owner: &str,
        order: Order,
    ) -> Result<Option<Range>, DriverError> {
        let (skip, direction) = (
            match self.dialect {
                Dialect::Postgresql => " FOR UPDATE SKIP LOCKED",
                Dialect::Sqlite => "",
            },
            match order {
                Order::Ascending => "",
                Order::Descending => " DESC",
            },
        );
        let sql = format!(
            "UPDATE {ranges} SET owner = $2, lease_until = {now} + {LEASE_SECONDS} WHERE revision = $1 AND number = \
             (SELECT number FROM {ranges} WHERE revision = $1 AND state = 'open' AND (owner IN ('', $2) OR lease_until < {now}) \
             ORDER BY number{direction} LIMIT 1{skip}) RETURNING {RANGE}{}",
            self.soon(","),
            ranges = self.ranges(),
            now = self.now()
        );
        let params = [Value::from(revision.as_str()), Value::from(owner)];
        let found = session.query(&sql, &params, ResultLimit::NONE).await?;
        found.into_rows().into_iter().next().map(range).transpose()
    }

    /// Gives a range back.
    pub(super) async fn let_go(
        &self,
        session: &mut dyn Session,
        revision: &RevisionId,
        number: i64,
        owner: &str,
    ) -> Result<(), DriverError> {
        let sql = format!(
            "UPDATE {} SET owner = '', lease_until = 0 WHERE revision = $1 AND number = $2 AND owner = $3{}",
            self.ranges(),
            self.soon(" RETURNING")
        );
        let params = [
            Value::from(revision.as_str()),
            Value::Int64(number),
            Value::from(owner),
        ];
        session.execute(&sql, &params).await.map(|_| ())
    }

    /// Reads all ranges.
    pub(crate) async fn read_ranges(
        &self,
        session: &mut dyn Session,
        revision: &str,
    ) -> Result<Vec<Range>, DriverError> {
        let sql = format!(
            "SELECT {RANGE} FROM {} WHERE revision = $1 ORDER BY number",
            self.ranges()
        );
        let found = session
            .query(&sql, &[Value::from(revision)], ResultLimit::NONE)
            .await?;
        found.into_rows().into_iter().map(range).collect()
    }

    /// Reads the row of a backfill, or of all; none where there are no tables yet.
    pub(crate) async fn read(
        &self,
        session: &mut dyn Session,
        revision: Option<&str>,
    ) -> Result<Vec<Record>, DriverError> {
        let (which, params) = match revision {
            Some(revision) => (" WHERE revision = $1", vec![Value::from(revision)]),
            None => ("", Vec::new()),
        };
        let sql = format!(
            "SELECT revision, direction, digest, state, reason, settings, table_name, spec, estimate, started, coalesce(ended, 0), {now}, {}, \
             CAST((SELECT coalesce(sum(r.rows_read), 0) FROM {ranges} r WHERE r.revision = b.revision) AS {integer}), \
             CAST((SELECT coalesce(sum(r.rows_written + r.rows_dropped), 0) FROM {ranges} r WHERE r.revision = b.revision) AS {integer}), \
             (SELECT count(*) FROM {} w WHERE w.revision = b.revision AND w.seen > {now} - {ALIVE_SECONDS} AND w.doing = '{WORKS}') \
             FROM {} b{which} ORDER BY started, revision",
            self.minute(),
            self.workers(),
            self.backfills(),
            ranges = self.ranges(),
            now = self.now(),
            integer = match self.dialect {
                Dialect::Postgresql => "bigint",
                Dialect::Sqlite => "integer",
            },
        );
        match session.query(&sql, &params, ResultLimit::NONE).await {
            Ok(found) => found.into_rows().into_iter().map(record).collect(),
            Err(error) if error.is_undefined_table() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Sets the state, unless it is done.
    pub(crate) fn set_state(&self, revision: &str, state: State, reason: &str) -> Statement {
        Statement::new(
            format!(
                "UPDATE {} SET state = $2, reason = $3 WHERE revision = $1 AND state <> 'done'",
                self.backfills()
            ),
            [
                Value::from(revision),
                Value::from(state.name()),
                Value::from(reason),
            ],
        )
    }

    /// Has it go on in a state, with settings.
    pub(super) fn resume(&self, revision: &str, state: State, settings: &Settings) -> Statement {
        Statement::new(
            format!(
                "UPDATE {} SET state = $2, reason = '', settings = $3 WHERE revision = $1 AND state <> 'done'",
                self.backfills()
            ),
            [
                Value::from(revision),
                Value::from(state.name()),
                Value::from(serde_json::to_string(settings).unwrap_or_default()),
            ],
        )
    }

    /// Says that it is done.
    pub(super) fn conclude(&self, revision: &RevisionId) -> Statement {
        Statement::new(
            format!(
                "UPDATE {} SET state = 'done', reason = '', ended = {} WHERE revision = $1 AND state <> 'done'",
                self.backfills(),
                self.now()
            ),
            [Value::from(revision.as_str())],
        )
    }

    /// Sets the settings, which are `before` unless someone else has set them meanwhile.
    pub(crate) fn set_settings(
        &self,
        revision: &str,
        before: &Settings,
        settings: &Settings,
    ) -> Statement {
        Statement::new(
            format!(
                "UPDATE {} SET settings = $2 WHERE revision = $1 AND settings = $3",
                self.backfills()
            ),
            [
                Value::from(revision),
                Value::from(serde_json::to_string(settings).unwrap_or_default()),
                Value::from(serde_json::to_string(before).unwrap_or_default()),
            ],
        )
    }

    /// Sets a row aside; one that was set aside before has its new error.
    pub(super) fn set_aside(&self, revision: &RevisionId, row: &BadRow) -> Statement {
        Statement::new(
            format!(
                "INSERT INTO {} (revision, key, error, input, found) VALUES ($1, $2, $3, $4, {now}) \
                 ON CONFLICT (revision, key) DO UPDATE SET error = excluded.error, input = excluded.input, found = {now}",
                self.bad_rows(),
                now = self.now()
            ),
            [
                Value::from(revision.as_str()),
                Value::from(row.key.to_text()),
                Value::from(row.error.as_str()),
                Value::from(row.input.clone()),
            ],
        )
    }

    /// Takes a row back that was set aside.
    pub(super) fn take_back(&self) -> String {
        format!(
            "DELETE FROM {} WHERE revision = $1 AND key = $2",
            self.bad_rows()
        )
    }

    /// How many rows are set aside.
    pub(crate) async fn count_bad_rows(
        &self,
        session: &mut dyn Session,
        revision: &str,
    ) -> Result<u64, DriverError> {
        let sql = format!(
            "SELECT count(*) FROM {} WHERE revision = $1",
            self.bad_rows()
        );
        let found = session
            .query(&sql, &[Value::from(revision)], ResultLimit::NONE)
            .await?;
        Ok(found
            .into_rows()
            .into_iter()
            .next()
            .map_or(0, |row| count(row.into_iter().next())))
    }

    /// Rows that are set aside, at most so many.
    pub(crate) async fn read_bad_rows(
        &self,
        session: &mut dyn Session,
        revision: &str,
        most: u64,
    ) -> Result<Vec<BadRow>, DriverError> {
        let sql = format!(
            "SELECT key, error, input FROM {} WHERE revision = $1 ORDER BY found, key LIMIT {most}",
            self.bad_rows()
        );
        let found = session
            .query(&sql, &[Value::from(revision)], ResultLimit::NONE)
            .await?;
        let read = |row: Vec<Value>| {
            let mut values = row.into_iter();
            Some(BadRow {
                key: Key::from_text(&text(values.next()))?,
                error: text(values.next()),
                input: Some(text(values.next())).filter(|input| !input.is_empty()),
            })
        };
        Ok(found.into_rows().into_iter().filter_map(read).collect())
    }
}
