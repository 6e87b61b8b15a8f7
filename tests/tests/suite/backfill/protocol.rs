//! How workers, writers and the end of a backfill agree: all interleavings of a small model, with crashes in all places.
//!
//! The model has what the tables of the database have: rows with a version, notes, ranges with owner, place and end; and
//! workers that remember what they have read. A transaction of a worker is three steps, between which others may do whatever its
//! locks let them. The guards are those of the statements; without any one of them the checker finds a row that is
//! worked on twice, or not at all.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model, Property};

const KEYS: u8 = 2;
/// A key that no row has in the beginning.
const NEW: u8 = KEYS + 1;
/// Above all of them.
const END: u8 = KEYS + 2;
const WORKERS: usize = 2;
/// How many rows a batch has.
const BATCH: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Row {
    key: u8,
    /// Changes with every change of the row, as `xmin` does.
    version: u8,
    /// How often it was worked on since somebody else last changed it.
    runs: u8,
    /// Whether its new values are of what it was before somebody else changed it.
    is_stale: bool,
    /// The transaction that has it locked.
    locked: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Range {
    upto: u8,
    /// How far it is done.
    cursor: u8,
    owner: Option<usize>,
    /// Whether the lease has run out. No clock is trusted: that can be at any time.
    has_lapsed: bool,
}

/// What is in the database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Tables {
    rows: Vec<Row>,
    notes: BTreeSet<u8>,
    ranges: Vec<Range>,
    is_over: bool,
}

/// What a worker remembers of a range that it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Batch {
    range: usize,
    cursor: u8,
    upto: u8,
    /// The rows that were read ahead, with their versions; none where the rest of the range has none.
    rows: Vec<(u8, u8)>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Read,
    /// The transaction is open: the rows are locked and written.
    Written,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    tables: Tables,
    /// What a crash of the server leaves of them: commits of batches are not on its disk at once.
    durable: Box<Tables>,
    workers: Vec<Option<Batch>>,
    writes_left: u8,
    faults_left: u8,
    splits_left: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    Claim(usize, usize),
    Write(usize),
    /// With or without its answer. Without it, the worker does not know, and does the same once more.
    Commit(usize, Answer),
    Die(usize),
    Lapse(usize),
    Split(usize),
    /// Somebody else changes a row, or adds it.
    Change(u8),
    CatchUp,
    End,
    /// What was committed comes to the disk.
    Flush,
    CrashServer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Heard,
    Lost,
}

/// The guard that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// A batch's commit asks whether its range is where it was.
    Place,
    /// A batch's commit asks whether its range still has the end that it had.
    UpperEnd,
    /// What was read ahead is written only where it has not changed.
    Version,
    /// Notes are forgotten by the transaction that has locked their rows.
    Lock,
    /// The last transaction keeps writers out from its look at the notes on.
    Shutting,
    /// The place of a range is committed with its rows.
    OneCommit,
}

struct Protocol(Without);

impl Tables {
    fn row(&mut self, key: u8) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.key == key)
    }

    /// The first rows after one key and up to another.
    fn next(&self, after: u8, upto: u8) -> Vec<(u8, u8)> {
        let within = self
            .rows
            .iter()
            .filter(|row| row.key > after && row.key <= upto);
        let mut rows: Vec<_> = within.map(|row| (row.key, row.version)).collect();
        rows.sort_unstable();
        rows.truncate(BATCH);
        rows
    }

    /// Undoes what an open transaction has written.
    fn roll_back(&mut self, worker: usize) {
        for row in &mut self.rows {
            if row.locked.take_if(|owner| *owner == worker).is_some() {
                row.runs -= 1;
                row.version -= 1;
            }
        }
    }

    fn unlock(&mut self, worker: usize) {
        for row in &mut self.rows {
            row.locked.take_if(|owner| *owner == worker);
        }
    }

    fn all_done(&self) -> bool {
        self.ranges.iter().all(|range| range.cursor >= range.upto)
    }

    fn is_locked(&self) -> bool {
        self.rows.iter().any(|row| row.locked.is_some())
    }
}

impl Protocol {
    fn claim(&self, state: &mut State, worker: usize, at: usize) {
        let range = &mut state.tables.ranges[at];
        range.owner = Some(worker);
        range.has_lapsed = false;
        let (cursor, upto) = (range.cursor, range.upto);
        state.workers[worker] = Some(Batch {
            range: at,
            cursor,
            upto,
            rows: state.tables.next(cursor, upto),
            phase: Phase::Read,
        });
    }

    /// Locks and writes the rows of a batch, those that have changed after they were read again; `None` while another
    /// transaction has one of them locked.
    fn write(&self, state: &mut State, worker: usize) -> Option<()> {
        let batch = state.workers[worker].as_mut()?;
        batch.phase = Phase::Written;
        for &(key, version) in &batch.rows {
            let row = state.tables.row(key)?;
            if row.locked.is_some() {
                return None;
            }
            row.locked = Some(worker);
            row.runs += 1;
            if self.0 == Without::Version && row.version != version {
                // Made of what the row was: whoever changed it since has no new values.
                row.is_stale = true;
            }
            row.version += 1;
        }
        Some(())
    }

    fn commit(&self, state: &mut State, worker: usize, answer: Answer) -> Option<()> {
        let mut batch = state.workers[worker].take()?;
        let tables = &mut state.tables;
        let range = &tables.ranges[batch.range];
        let passes = range.owner == Some(worker)
            && (range.cursor == batch.cursor || self.0 == Without::Place)
            && (range.upto == batch.upto || self.0 == Without::UpperEnd);
        if passes {
            let is_last = batch.rows.len() < BATCH;
            let cursor = match batch.rows.last() {
                Some((key, _)) if !is_last => *key,
                _ => batch.upto,
            };
            tables.unlock(worker);
            for (key, _) in &batch.rows {
                tables.notes.remove(key);
            }
            if self.0 == Without::Lock {
                // All notes about the span, also about rows that came in when it had been read.
                tables
                    .notes
                    .retain(|note| *note <= batch.cursor || *note > cursor);
            }
            if self.0 == Without::OneCommit {
                // The rows are in effect, and the server may go down before the place is.
                *state.durable = tables.clone();
            }
            tables.ranges[batch.range].cursor = cursor;
        } else {
            tables.roll_back(worker);
        }
        match (answer, passes) {
            (Answer::Lost, _) => {
                batch.phase = Phase::Read;
                state.workers[worker] = Some(batch);
            }
            (Answer::Heard, _) => {
                let range = &mut tables.ranges[batch.range];
                range.owner.take_if(|owner| *owner == worker);
            }
        }
        Some(())
    }

    /// A transaction that is open goes with its connection.
    fn die(&self, state: &mut State, worker: usize) {
        state.workers[worker] = None;
        state.tables.roll_back(worker);
    }

    fn change(&self, state: &mut State, key: u8) -> Option<()> {
        let tables = &mut state.tables;
        if tables.is_over {
            return None;
        }
        match tables.row(key) {
            Some(row) if row.locked.is_some() => return None,
            Some(row) => {
                row.version += 1;
                row.runs = 0;
                row.is_stale = false;
            }
            None => tables.rows.push(Row {
                key,
                version: 0,
                runs: 0,
                is_stale: false,
                locked: None,
            }),
        }
        tables.notes.insert(key);
        Some(())
    }

    fn catch_up(&self, tables: &mut Tables) -> Option<()> {
        let key = *tables.notes.first()?;
        if tables.row(key).is_some_and(|row| row.locked.is_some()) {
            return None;
        }
        if let Some(row) = tables.row(key) {
            row.runs += 1;
            row.version += 1;
        }
        tables.notes.remove(&key);
        Some(())
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let row = |key| Row {
            key,
            version: 0,
            runs: 0,
            is_stale: false,
            locked: None,
        };
        let tables = Tables {
            rows: (1..=KEYS).map(row).collect(),
            notes: BTreeSet::new(),
            ranges: vec![Range {
                upto: END,
                cursor: 0,
                owner: None,
                has_lapsed: false,
            }],
            is_over: false,
        };
        vec![State {
            durable: Box::new(tables.clone()),
            tables,
            workers: vec![None; WORKERS],
            writes_left: 1,
            faults_left: 1,
            splits_left: 1,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.tables.is_over {
            return;
        }
        for (at, worker) in state.workers.iter().enumerate() {
            match worker {
                None => {
                    let open = state.tables.ranges.iter().enumerate().filter(|(_, range)| {
                        range.cursor < range.upto && (range.owner.is_none() || range.has_lapsed)
                    });
                    actions.extend(open.map(|(range, _)| Action::Claim(at, range)));
                }
                Some(batch) => {
                    actions.push(match batch.phase {
                        Phase::Read => Action::Write(at),
                        Phase::Written => Action::Commit(at, Answer::Heard),
                    });
                    if state.faults_left > 0 {
                        actions.push(Action::Die(at));
                        if batch.phase != Phase::Read {
                            actions.push(Action::Commit(at, Answer::Lost));
                        }
                    }
                }
            }
        }
        for (at, range) in state.tables.ranges.iter().enumerate() {
            if range.owner.is_some() && !range.has_lapsed {
                actions.push(Action::Lapse(at));
            }
            if state.splits_left > 0 && range.cursor + 1 < range.upto {
                actions.push(Action::Split(at));
            }
        }
        if state.writes_left > 0 {
            actions.extend((1..=NEW).map(Action::Change));
        }
        if state.faults_left > 0 {
            actions.push(Action::CrashServer);
            if *state.durable != state.tables && !state.tables.is_locked() {
                actions.push(Action::Flush);
            }
        }
        if state.tables.all_done() {
            actions.push(Action::CatchUp);
            actions.push(Action::End);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Claim(worker, range) => self.claim(&mut state, worker, range),
            Action::Write(worker) => self.write(&mut state, worker)?,
            Action::Commit(worker, answer) => {
                state.faults_left -= u8::from(answer == Answer::Lost);
                self.commit(&mut state, worker, answer)?;
            }
            Action::Die(worker) => {
                state.faults_left -= 1;
                self.die(&mut state, worker);
            }
            Action::Lapse(range) => state.tables.ranges[range].has_lapsed = true,
            Action::Split(at) => {
                state.splits_left -= 1;
                let range = &mut state.tables.ranges[at];
                let middle = range.cursor + 1;
                let second = Range {
                    upto: range.upto,
                    cursor: middle,
                    owner: None,
                    has_lapsed: false,
                };
                range.upto = middle;
                state.tables.ranges.push(second);
            }
            Action::Change(key) => {
                state.writes_left -= 1;
                self.change(&mut state, key)?;
                // A writer's commit is on the disk, and so is all that was committed before it.
                if !state.tables.is_locked() {
                    *state.durable = state.tables.clone();
                }
            }
            Action::Flush => *state.durable = state.tables.clone(),
            Action::CatchUp => self.catch_up(&mut state.tables)?,
            Action::End => {
                if state.tables.is_locked() {
                    return None;
                }
                match self.0 {
                    // What is noted after the look is not seen.
                    Without::Shutting => {}
                    _ => while self.catch_up(&mut state.tables).is_some() {},
                }
                state.tables.is_over = true;
                *state.durable = state.tables.clone();
            }
            Action::CrashServer => {
                state.faults_left -= 1;
                for worker in 0..WORKERS {
                    self.die(&mut state, worker);
                }
                state.tables = (*state.durable).clone();
                for row in &mut state.tables.rows {
                    row.locked = None;
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no row is worked on twice", |_, state: &State| {
                // What is not committed yet may be rolled back.
                let committed = |row: &&Row| row.locked.is_none();
                state
                    .tables
                    .rows
                    .iter()
                    .filter(committed)
                    .all(|row| row.runs <= 1)
            }),
            Property::always("in the end every row was worked on", |_, state: &State| {
                !state.tables.is_over
                    || state
                        .tables
                        .rows
                        .iter()
                        .all(|row| row.runs == 1 && !row.is_stale)
            }),
            Property::sometimes("it comes to its end", |_, state: &State| {
                state.tables.is_over
            }),
        ]
    }
}

#[test]
fn in_all_interleavings_each_row_is_worked_on_once() {
    let checker = Protocol(Without::Nothing)
        .checker()
        .threads(2)
        .spawn_bfs()
        .join();
    checker.assert_properties();
    assert!(checker.unique_state_count() > 10_000);
}

#[test]
fn no_guard_can_be_left_out() {
    for without in [
        Without::Place,
        Without::UpperEnd,
        Without::Version,
        Without::Lock,
        Without::Shutting,
        Without::OneCommit,
    ] {
        let checker = Protocol(without)
            .checker()
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let found = checker.discoveries();
        let broken = found
            .keys()
            .any(|property| *property != "it comes to its end");
        assert!(broken, "{without:?} is not needed");
    }
}
