//! What a migration's part of the open transaction has really done: by the locks that it holds, the counts that the server
//! keeps of it, and the rows of the catalog that it wrote.

mod catalog;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use super::{PostgresSession, Transaction};
use crate::capability::{Grant, Layer};
use crate::driver::postgres::pooler::Route;
use crate::driver::{Authority, DriverError, Touched};
use catalog::{CLOSE, DECLARE, FACTS, FETCH, OBJECTS, STAND_INS, THOROUGH, WRITTEN, show};
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

/// A function, a type, a schema or the like.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    schema: String,
    name: String,
    /// The extension that it is a member of, or the table of statistics; 0 for none.
    owner: u32,
}

/// A lock on what is no relation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ObjectLock {
    id: u32,
    /// The catalog that has it.
    class: u32,
    mode: String,
}

/// A state of the database, as the transaction sees it.
#[derive(Debug, Default)]
struct State {
    relations: BTreeMap<u32, Relation>,
    /// What is no relation, by catalog and number.
    objects: BTreeMap<(String, u32), Object>,
    locks: BTreeSet<(u32, String)>,
    advisory: i64,
    counts: BTreeMap<u32, Counts>,
    written: BTreeSet<Written>,
    /// Foreign keys: the table that has one and the table that it refers to.
    foreign_keys: BTreeSet<(u32, u32)>,
    /// Locks on rows of the system catalogs that a statement wrote or locked itself, by the catalog's name.
    catalog_locks: BTreeSet<(String, String)>,
    object_locks: BTreeSet<ObjectLock>,
    /// Relations whose rows of the catalog are new ones: rights are given without a lock.
    rewritten: BTreeSet<u32>,
    /// What a view reads.
    reads: BTreeSet<(u32, u32)>,
    /// Tables of notes, each with a table whose changes the trigger of a backfill notes in it.
    noting: BTreeSet<(u32, u32)>,
    counting: bool,
    /// Whether the transaction has a number, which it needs to write.
    writes: bool,
    schema: String,
    /// When the cursor was declared that shows the catalog as it was.
    cursor: String,
    /// What the list said by which that cursor was read.
    list: Option<String>,
}

/// What there was when the migration was given the session.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) default_schema: String,
    grant: Grant,
    state: State,
    /// Whether its cursor is there to be read.
    is_open: bool,
}

impl PostgresSession {
    /// Remembers what there is before a migration begins whose transaction will be audited.
    pub(super) async fn look_before(&mut self, authority: &Authority) -> Result<(), DriverError> {
        let Some(grant) = authority.grant() else {
            if *authority != Authority::Host {
                self.counted = None;
            }
            return Ok(());
        };
        let known = self.counted.take();
        let is_open = self.before.take().is_some_and(|before| before.is_open);
        let is_limited = grant.limits.rows_written < u64::MAX;
        if self.transaction == Transaction::None
            || grant.layers.audit == Layer::Off
            || (grant.is_unrestricted() && !is_limited)
        {
            return Ok(());
        }
        if is_open {
            self.command(CLOSE).await?;
        }
        let (reach, known) = match known {
            Some(known) if self.opening.route() == Route::Direct => (Reach::Locked, known),
            _ => (Reach::All, BTreeSet::new()),
        };
        self.has_undone = false;
        self.command(&format!("{DECLARE}; {}", show(&list(&known))))
            .await?;
        let trust = self.trust().await?;
        let mut state = State::default();
        self.look(&reach.facts(), trust, &mut state).await?;
        if state.writes {
            self.command(&show(&list(&state.seen()))).await?;
            self.look(WRITTEN, trust, &mut state).await?;
        }
        self.before = Some(Before {
            default_schema: state.schema.clone(),
            grant: grant.as_ref().clone(),
            state,
            is_open: true,
        });
        Ok(())
    }

    pub(super) async fn touched_inner(&mut self) -> Result<Touched, DriverError> {
        let Some(mut before) = self.before.take() else {
            return Ok(Touched::default());
        };
        let judged = self.compare(&mut before).await;
        self.before = Some(before);
        judged
    }

    async fn compare(&mut self, before: &mut Before) -> Result<Touched, DriverError> {
        let counting = self.was_counting().await?;
        self.settle_in_between().await?;
        // Triggers that were put off are the migration's as well: what they do is to be seen.
        let checks = self.checks_put_off().await?;
        if !checks.is_empty() {
            self.command(&checks).await?;
        }
        let trust = self.trust().await?;
        let reach = match self.has_undone {
            true => Reach::All,
            false => Reach::AsFunctionsMay,
        };
        let counted = before.state.counts.keys().copied().collect();
        self.command(&show(&list(&counted))).await?;
        let mut after = State::default();
        self.look(&reach.facts(), trust, &mut after).await?;
        after.counting &= counting;
        let mut seen = after.seen();
        self.command(&show(&list(&seen))).await?;
        self.look(OBJECTS, trust, &mut after).await?;
        if after.writes {
            self.look(WRITTEN, trust, &mut after).await?;
        }
        seen.extend(after.written.iter().map(|row| row.id));
        let list = list(&seen);
        self.command(&show(&list)).await?;
        if after.cursor == before.state.cursor {
            self.look(FETCH, Trust::None, &mut before.state).await?;
        }
        // A migration that has closed or read the cursor has something to hide.
        if after.cursor != before.state.cursor || before.state.list.as_ref() != Some(&list) {
            return Err(DriverError::Denied {
                operation: "the use of `whimbrel_before`".to_owned(),
                object: "whimbrel_before".to_owned(),
                reason: "it belongs to Whimbrel".to_owned(),
            });
        }
        self.command(CLOSE).await?;
        before.is_open = false;
        let counted = before.state.counts.keys().chain(after.counts.keys());
        self.counted = Some(counted.copied().collect());
        judge(before, &after, &self.protected)
    }

    /// Whether the session's own prepared statements are what they were: a migration may have put others of the same names
    /// in their place.
    async fn trust(&mut self) -> Result<Trust, DriverError> {
        let client = self.link.client.clone();
        let rows = self.send(client.query_typed(STAND_INS, &[])).await?;
        match rows.is_empty() {
            true => Ok(Trust::Prepared),
            false => Ok(Trust::None),
        }
    }

    /// Whether the server counts under the settings that the migration left, which are about to go.
    async fn was_counting(&mut self) -> Result<bool, DriverError> {
        if !std::mem::take(&mut self.resets) {
            return Ok(true);
        }
        let client = self.link.client.clone();
        let rows = self.send(client.query_typed(COUNTING, &[])).await;
        self.resets = true;
        let rows = rows?;
        Ok(rows.iter().any(|row| row.try_get(0).unwrap_or(false)))
    }

    async fn look(
        &mut self,
        sql: &str,
        trust: Trust,
        state: &mut State,
    ) -> Result<(), DriverError> {
        let prepared = match trust {
            Trust::Prepared => {
                self.prepare_own([sql]).await?;
                self.own_statements.get(sql)
            }
            Trust::None => None,
        };
        let client = self.link.client.clone();
        let rows = match prepared {
            Some(statement) => self.send(client.query(&statement, &[])).await?,
            None => self.send(client.query_typed(sql, &[])).await?,
        };
        for row in &rows {
            state.add(row).map_err(|error| {
                DriverError::Conversion(format!("the catalog's answer cannot be read: {error}"))
            })?;
        }
        Ok(())
    }
}

/// Whose counts are asked for. Those of the transactions before are among them until the server has passed them on, so that
/// the session remembers what it has counted.
#[derive(Debug, Clone, Copy)]
enum Reach {
    Locked,
    All,
    /// All where a function is there that can roll back what has left counts.
    AsFunctionsMay,
}

impl Reach {
    fn facts(self) -> String {
        let thorough = match self {
            Self::Locked => "false",
            Self::All => "true",
            Self::AsFunctionsMay => THOROUGH,
        };
        FACTS.replace("$THOROUGH", thorough)
    }
}

/// Whether a question may be sent as a prepared statement.
#[derive(Debug, Clone, Copy)]
enum Trust {
    Prepared,
    None,
}

/// As the server writes an array.
fn list(ids: &BTreeSet<u32>) -> String {
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    format!("{{{}}}", ids.join(","))
}

/// Whether a text has the word `DO` in it, which may roll back a part of what it does.
pub(super) fn may_undo(sql: &str) -> bool {
    sql.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|word| word.eq_ignore_ascii_case("do"))
}

impl State {
    /// All that the transaction has had to do with.
    fn seen(&self) -> BTreeSet<u32> {
        let locked = self.locks.iter().map(|(id, _)| *id);
        let objects = self.object_locks.iter().map(|lock| lock.id);
        locked
            .chain(objects)
            .chain(self.rewritten.iter().copied())
            .chain(self.counts.keys().copied())
            .collect()
    }

    fn is_gone(&self, id: u32) -> bool {
        self.object_locks
            .iter()
            .any(|lock| lock.id == id && lock.mode == "AccessExclusiveLock")
    }

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
                let owner = parent;
                self.objects.insert(
                    (kind, id),
                    Object {
                        schema,
                        name,
                        owner,
                    },
                );
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
            "note" => {
                self.noting.insert((id, parent));
            }
            "read" => {
                self.reads.insert((id, parent));
            }
            "objlock" => {
                self.object_locks.insert(ObjectLock {
                    id,
                    class: parent,
                    mode: kind,
                });
            }
            "written" => {
                self.rewritten.insert(id);
            }
            "catalog" => {
                self.catalog_locks.insert((name, kind));
            }
            "header" => {
                self.list = row.try_get(10)?;
            }
            "session" => {
                self.advisory = a;
                self.counting = kind == "on";
                self.schema = schema;
                self.writes = b == 1;
                self.cursor = row.try_get::<_, Option<_>>(10)?.unwrap_or_default();
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
