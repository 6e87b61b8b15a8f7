//! Puts together what the code told and what the database knows.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Catalog, ForeignKey};
use super::inspection::{
    HeldLock, Inspection, LocatedLoss, Note, Place, StepInspection, Table, View,
};
use super::{Circumstances, Read, Told, checklist};
use crate::driver::Dialect;
use crate::engine::Engine;
use crate::plan::{Plan, Step};
use crate::revision::{Kind, Transactional};
use crate::sql::effects::{Effects, ForeignKeys, InTransaction, Lock, Part, Sight, Toll};

impl Engine {
    pub(super) fn assemble(
        &self,
        plan: Plan,
        seen: Vec<(Step, Told, Vec<Read>)>,
        catalog: Catalog,
        circumstances: &Circumstances,
    ) -> Inspection {
        let irreversible = self.irreversible(&plan);
        let mut new = BTreeSet::new();
        let steps = seen
            .into_iter()
            .map(|(step, told, read)| self.assemble_step(step, told, &read, &catalog, &mut new))
            .collect();
        let tables: BTreeMap<&str, Table> = catalog
            .entries()
            .map(|entry| {
                let table = Table {
                    name: entry.table.clone(),
                    bytes: entry.bytes,
                    rows: entry.rows,
                };
                (entry.table.as_str(), table)
            })
            .collect();
        let mut inspection = Inspection {
            direction: plan.direction,
            from: plan.from,
            to: plan.to,
            steps,
            assumed: plan.assumed,
            transaction: self.transaction,
            dialect: self.driver.dialect(),
            tables: tables.into_values().collect(),
            checks: Vec::new(),
        };
        inspection.checks = checklist::checks(
            &inspection,
            &irreversible,
            circumstances,
            catalog.failure.as_deref(),
        );
        inspection
    }

    /// `new` are the relations that earlier steps make.
    fn assemble_step(
        &self,
        step: Step,
        told: Told,
        read: &[Read],
        catalog: &Catalog,
        new: &mut BTreeSet<String>,
    ) -> StepInspection {
        let revision = self.graph.get(step.revision.as_str());
        let transactional =
            revision.is_none_or(|revision| revision.transactional != Transactional::No);
        let mut found = StepInspection {
            message: self.message(&step.revision),
            path: revision
                .map(|revision| revision.path.clone())
                .unwrap_or_default(),
            kind: revision.map_or(Kind::Sql, |revision| revision.kind),
            language: told.language,
            imports: told.imports,
            request: told.standing.request,
            obstacles: told.standing.obstacles,
            transactional,
            backfill: told.backfill,
            view: told.view,
            statements: read.len(),
            locks: Vec::new(),
            destructive: Vec::new(),
            notes: told.notes,
            step,
        };
        new.extend(read.iter().flat_map(made));
        // What this plan makes itself is in nobody's way.
        let is_new = |lock: &Lock| {
            let name = lock.relation.to_string();
            new.contains(&name) && catalog.entry(&name).is_none()
        };
        for (index, statement) in read.iter().enumerate() {
            let place = place(statement, index + 1);
            let effects = match &statement.effects {
                Ok(effects) => effects,
                Err(error) => {
                    found.see_less();
                    found
                        .notes
                        .push(Note::at(&place, format!("cannot be read: {error}")));
                    continue;
                }
            };
            found.heed(effects, &place);
            let rest = match transactional {
                true => longest(&read[index..], is_new),
                false => effects.toll(),
            };
            for lock in effects.locks.iter().filter(|lock| !is_new(lock)) {
                for held in held(lock, rest, catalog, &place) {
                    found.hold(held);
                }
            }
        }
        if self.driver.dialect() == Dialect::Sqlite {
            // It has one lock, for the database.
            found.locks.clear();
        }
        found
    }
}

impl StepInspection {
    fn see_less(&mut self) {
        self.view = match self.view {
            View::Nothing => View::Nothing,
            View::Full | View::Partial => View::Partial,
        };
    }

    /// Takes over what a statement does beyond its locks.
    fn heed(&mut self, effects: &Effects, place: &Place) {
        for loss in &effects.losses {
            self.destructive.push(LocatedLoss {
                harm: loss.harm,
                what: loss.what.clone(),
                place: place.clone(),
            });
        }
        if effects.sight == Sight::Hidden {
            self.see_less();
            self.notes.push(Note::at(
                place,
                "does more than its text tells: it cascades, or runs code in the server",
            ));
        }
        if effects.transaction == InTransaction::Refused && self.transactional {
            let remedy = match self.kind {
                Kind::Sql => "write `-- transaction: false` into its header",
                Kind::Component => "write `transaction = false` into migration.toml",
            };
            self.notes.push(Note::at(
                place,
                format!("cannot run in a transaction: {remedy}"),
            ));
        }
    }

    /// Adds a lock; a table that is locked in the same mode again is locked already.
    fn hold(&mut self, held: HeldLock) {
        let same = |there: &&mut HeldLock| there.table == held.table && there.mode == held.mode;
        match self.locks.iter_mut().find(same) {
            Some(there) => {
                there.held = there.held.max(held.held);
                if held.work > there.work {
                    there.work = held.work;
                    there.advice = held.advice;
                    there.place = held.place;
                }
            }
            None => self.locks.push(held),
        }
    }
}

fn place(statement: &Read, number: usize) -> Place {
    let origin = statement.source.origin.as_ref();
    Place {
        statement: number,
        path: origin.map(|(path, _)| path.clone()),
        line: origin.map(|(_, location)| location.line),
    }
}

/// The relations that a statement makes.
fn made(statement: &Read) -> impl Iterator<Item = String> {
    let effects = statement.effects.iter();
    effects.flat_map(|effects| effects.creates.iter().map(ToString::to_string))
}

/// The longest that one of these statements does to what was there before.
fn longest(statements: &[Read], is_new: impl Fn(&Lock) -> bool) -> Toll {
    let tolls = statements
        .iter()
        .filter_map(|read| read.effects.as_ref().ok())
        .flat_map(|effects| &effects.locks)
        .filter(|lock| !is_new(lock))
        .map(|lock| lock.toll);
    tolls.max().unwrap_or(Toll::Instant)
}

/// A lock with what the database knows of its table, and those that come with it.
fn held(lock: &Lock, rest: Toll, catalog: &Catalog, place: &Place) -> Vec<HeldLock> {
    let name = lock.relation.to_string();
    let entry = catalog.entry(&name);
    let on = |table: String, toll: Toll| {
        let size = catalog
            .entries()
            .find(|entry| entry.table == table)
            .or(entry);
        HeldLock {
            mode: lock.mode,
            blocks: lock.mode.blocks(),
            work: toll,
            held: rest.max(toll),
            place: place.clone(),
            bytes: size.and_then(|entry| entry.bytes),
            rows: size.and_then(|entry| entry.rows),
            children: size.map_or(0, |entry| entry.children),
            advice: lock.advice,
            table,
        }
    };
    let table = match (lock.part, entry) {
        (_, Some(entry)) => entry.table.clone(),
        (Part::Itself, None) => name,
        (Part::TableOfIndex, None) => format!("the table of {name}"),
    };
    let mut locks = vec![on(table, lock.toll)];
    let keys = entry.map_or(&[][..], |entry| &entry.foreign_keys);
    for key in keys.iter().filter(|key| goes(key, &lock.foreign_keys)) {
        locks.push(HeldLock {
            advice: None,
            ..on(key.other.clone(), Toll::Instant)
        });
    }
    locks
}

/// Whether a foreign key is one of those that a statement drops.
fn goes(key: &ForeignKey, dropped: &[ForeignKeys]) -> bool {
    dropped.iter().any(|dropped| match dropped {
        ForeignKeys::All => true,
        ForeignKeys::OfColumn(column) => key.own && key.columns.contains(column),
        ForeignKeys::Named(name) => key.own && key.name == *name,
    })
}
