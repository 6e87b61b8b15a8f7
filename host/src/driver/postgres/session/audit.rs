//! What a migration's part of the open transaction has really done: by the locks that it holds, the counts that the server
//! keeps of it, and the rows of the catalog that it wrote.

mod catalog;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use super::{PostgresSession, Transaction};
use crate::capability::{Grant, Layer};
use crate::driver::{Authority, DriverError, Touched};
use catalog::{HAS_WRITTEN, LOOK, LOOK_UNWRITTEN};
use verdict::judge;

const COUNTING: &str =
    "SELECT pg_catalog.current_setting('track_counts') OPERATOR(pg_catalog.=) 'on'";

/// A relation, as the catalog had it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Relation {
    schema: String,
    name: String,
    /// `pg_class.relkind`.
    kind: String,
    /// The table of an index, of a sequence's column, of a partition; 0 for none.
    parent: u32,
    /// Its file, which a truncation replaces.
    file: i64,
    /// A hash of its rights.
    rights: i64,
    /// A hash of its name, owner and options.
    definition: i64,
}

/// What the server has counted of one relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    scans: i64,
    inserted: i64,
    updated: i64,
    deleted: i64,
}

/// One row of the catalog that the transaction wrote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    catalog: String,
    id: u32,
    schema: String,
    name: String,
    kind: String,
    relation: u32,
    other: i64,
    place: String,
}

/// A state of the database, as the transaction sees it.
#[derive(Debug, Default)]
struct State {
    relations: BTreeMap<u32, Relation>,
    /// Functions, types and schemas, by catalog and number.
    objects: BTreeMap<(String, u32), (String, String)>,
    locks: BTreeSet<(u32, String)>,
    advisory: i64,
    counts: BTreeMap<u32, Counts>,
    written: BTreeSet<Written>,
    /// Foreign keys: the table that has one and the table that it refers to.
    foreign_keys: BTreeSet<(u32, u32)>,
    /// Objects that are locked as only a change or a drop locks them.
    object_locks: BTreeSet<u32>,
    /// What a view reads.
    reads: BTreeSet<(u32, u32)>,
    counting: bool,
    schema: String,
}

/// What there was when the migration was given the session.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) default_schema: String,
    grant: Grant,
    state: State,
}

impl PostgresSession {
    /// Remembers what there is before a migration begins whose transaction will be audited.
    pub(super) async fn look_before(&mut self, authority: &Authority) -> Result<(), DriverError> {
        let Some(grant) = authority.grant() else {
            return Ok(());
        };
        self.before = None;
        let is_limited = grant.limits.rows_written < u64::MAX;
        if self.transaction == Transaction::None
            || grant.layers.audit == Layer::Off
            || (grant.is_unrestricted() && !is_limited)
        {
            return Ok(());
        }
        let state = match self.is(HAS_WRITTEN).await? {
            true => self.look(LOOK).await?,
            false => self.look(LOOK_UNWRITTEN).await?,
        };
        self.before = Some(Before {
            default_schema: state.schema.clone(),
            grant: grant.as_ref().clone(),
            state,
        });
        Ok(())
    }

    pub(super) async fn touched_inner(&mut self) -> Result<Touched, DriverError> {
        if self.before.is_none() {
            return Ok(Touched::default());
        }
        let counting = self.was_counting().await?;
        self.settle_in_between().await?;
        let mut after = self.look(LOOK).await?;
        after.counting &= counting;
        match &self.before {
            Some(before) => judge(before, &after, &self.protected),
            None => Ok(Touched::default()),
        }
    }

    /// Whether the server counts under the settings that the migration left, which are about to go.
    async fn was_counting(&mut self) -> Result<bool, DriverError> {
        if !std::mem::take(&mut self.resets) {
            return Ok(true);
        }
        let counting = self.is(COUNTING).await;
        self.resets = true;
        counting
    }

    /// The answer to a question.
    async fn is(&mut self, sql: &str) -> Result<bool, DriverError> {
        let client = self.link.client.clone();
        let rows = self.send(client.query_typed(sql, &[])).await?;
        Ok(rows.iter().any(|row| row.try_get(0).unwrap_or(false)))
    }

    async fn look(&mut self, sql: &str) -> Result<State, DriverError> {
        let client = self.link.client.clone();
        let rows = self.send(client.query_typed(sql, &[])).await?;
        let mut state = State::default();
        for row in &rows {
            state.add(row).map_err(|error| {
                DriverError::Conversion(format!("the catalog's answer cannot be read: {error}"))
            })?;
        }
        Ok(state)
    }
}

impl State {
    fn add(&mut self, row: &tokio_postgres::Row) -> Result<(), tokio_postgres::Error> {
        let what: &str = row.try_get(0)?;
        let id: u32 = row.try_get(1)?;
        let schema: String = row.try_get::<_, Option<_>>(2)?.unwrap_or_default();
        let name: String = row.try_get::<_, Option<_>>(3)?.unwrap_or_default();
        let kind: String = row.try_get::<_, Option<_>>(4)?.unwrap_or_default();
        let parent: u32 = row.try_get::<_, Option<_>>(5)?.unwrap_or_default();
        let number = |at| {
            Ok::<i64, tokio_postgres::Error>(row.try_get::<_, Option<i64>>(at)?.unwrap_or_default())
        };
        let (a, b, c, d) = (number(6)?, number(7)?, number(8)?, number(9)?);
        match what {
            "rel" => {
                self.relations.insert(
                    id,
                    Relation {
                        schema,
                        name,
                        kind,
                        parent,
                        file: a,
                        rights: b,
                        definition: c,
                    },
                );
            }
            "obj" => {
                self.objects.insert((kind, id), (schema, name));
            }
            "lock" => {
                self.locks.insert((id, kind));
            }
            "count" => {
                self.counts.insert(
                    id,
                    Counts {
                        scans: a,
                        inserted: b,
                        updated: c,
                        deleted: d,
                    },
                );
            }
            "fk" => {
                self.foreign_keys.insert((id, parent));
            }
            "read" => {
                self.reads.insert((id, parent));
            }
            "objlock" => {
                self.object_locks.insert(id);
            }
            "session" => {
                self.advisory = a;
                self.counting = kind == "on";
                self.schema = schema;
            }
            _ => {
                let catalog = what.to_owned();
                let place: String = row.try_get::<_, Option<_>>(10)?.unwrap_or_default();
                self.written.insert(Written {
                    catalog,
                    id,
                    schema,
                    name,
                    kind,
                    relation: parent,
                    other: a,
                    place,
                });
            }
        }
        Ok(())
    }
}
