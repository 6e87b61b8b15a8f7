//! The first transaction of a backfill and its last one.

use super::catch_up::{AT_ONCE, prove};
use super::error::BackfillError;
use super::job::Job;
use super::record::{Counts, Record, State};
use super::rows::Transformer;
use super::settings::{BadRows, Settings};
use super::spec::Keep;
use crate::driver::{Durability, Session, Statement};
use crate::revision::Direction;

/// More notes than this are not worked off while the table is locked.
const FEW: usize = 5 * AT_ONCE;

/// How the last transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing is left, and all is proved.
    Proved {
        /// In how many batches.
        batches: u64,
        /// What was done.
        counts: Counts,
    },
    /// So much has been noted that writers should not wait for it.
    NotYet,
}

impl Job {
    /// Makes ready what is needed, in `parts` for workers to share, or goes on with what another run has begun; returns the
    /// row that says how.
    ///
    /// # Errors
    /// A [`BackfillError`]; nothing is changed then.
    pub(crate) async fn begin(
        &self,
        session: &mut dyn Session,
        settings: &Settings,
        parts: u32,
        changes: &[String],
    ) -> Result<Record, BackfillError> {
        let known = self.record(session).await?;
        match known.filter(|record| record.state != State::Done) {
            Some(record) => self.go_on(session, record, changes).await?,
            None => self.start(session, settings, parts).await?,
        }
        let found = self.record(session).await?;
        found.ok_or_else(|| BackfillError::Unproven("its own row is not there".to_owned()))
    }

    /// Takes part in what another run has begun, and changes nothing of it.
    ///
    /// # Errors
    /// [`BackfillError::Stopped`] or [`BackfillError::Failed`] where it has ended, or another [`BackfillError`].
    pub(crate) async fn under_way(
        &self,
        session: &mut dyn Session,
    ) -> Result<Record, BackfillError> {
        let known = self.record(session).await?;
        let Some(record) = known.filter(|record| record.state != State::Done) else {
            return Err(BackfillError::Unfit(
                "it is not under way any more".to_owned(),
            ));
        };
        match record.state {
            State::Stopped => return Err(BackfillError::Stopped),
            State::Failed => return Err(BackfillError::Failed(record.reason)),
            State::Running | State::Paused | State::Done => {}
        }
        self.check_known(session, &record).await?;
        Ok(record)
    }

    async fn record(&self, session: &mut dyn Session) -> Result<Option<Record>, BackfillError> {
        let revision = self.revision.as_str();
        let found = self.store.read(session, Some(revision)).await?;
        Ok(found.into_iter().next())
    }

    async fn check_known(
        &self,
        session: &mut dyn Session,
        record: &Record,
    ) -> Result<(), BackfillError> {
        if record.direction != self.direction.name() {
            return Err(BackfillError::Unfit(format!(
                "its {} has begun and is not done: finish that first",
                record.direction
            )));
        }
        self.expects(record)?;
        self.check_trigger(session).await
    }

    async fn go_on(
        &self,
        session: &mut dyn Session,
        record: Record,
        changes: &[String],
    ) -> Result<(), BackfillError> {
        self.check_known(session, &record).await?;
        let mut settings = record.settings;
        for change in changes {
            settings
                .set(change)
                .map_err(|error| BackfillError::Unfit(error.to_string()))?;
        }
        let state = match record.state {
            State::Paused => State::Paused,
            _ => State::Running,
        };
        let resume = self.store.resume(self.revision.as_str(), state, &settings);
        session.begin().await?;
        self.commit(session, &[resume]).await
    }

    async fn start(
        &self,
        session: &mut dyn Session,
        settings: &Settings,
        parts: u32,
    ) -> Result<(), BackfillError> {
        let spans = self.first_ranges(session, parts).await?;
        let revision = self.revision.as_str();
        session.begin().await?;
        self.store.make(session).await?;
        let [ranges, workers, bad_rows] = self.store.forget_details(revision);
        for Statement { sql, params } in [ranges, workers, bad_rows, self.store.forget(revision)] {
            session.execute(&sql, &params).await?;
        }
        if self.direction == Direction::Upgrade {
            session.run(&self.forget_old_values()).await?;
        }
        for sql in self.definitions() {
            session.run(&sql).await?;
        }
        let mut own = vec![self.names.notes.as_str()];
        if self.keep == Keep::OldValues {
            own.push(&self.names.kept);
        }
        self.store.keep_private(session, &own).await?;
        let mut records = vec![self.store.begin(
            &self.revision,
            self.direction,
            &self.digest,
            settings,
            (&self.table.shown(), &self.spec),
            self.table.rows,
        )];
        let ranges = (0_i64..).zip(&spans);
        let each = self.table.rows / spans.len().max(1) as u64;
        records
            .extend(ranges.map(|(at, span)| self.store.add_range(&self.revision, at, span, each)));
        self.commit(session, &records).await
    }

    async fn commit(
        &self,
        session: &mut dyn Session,
        records: &[Statement],
    ) -> Result<(), BackfillError> {
        let committed = session.commit(records, Durability::Now).await;
        committed.map_err(|error| BackfillError::Database(error.into()))
    }

    /// Works off what is left in the open transaction, with writers kept out, proves that nothing is, and takes away what is
    /// not needed any more.
    ///
    /// # Errors
    /// A [`BackfillError`]; the transaction is to be rolled back then.
    pub(crate) async fn end(
        &self,
        session: &mut dyn Session,
        mut transformer: Option<&mut (dyn Transformer + '_)>,
        settings: &Settings,
    ) -> Result<Ending, BackfillError> {
        self.prepare_transaction(session).await?;
        if let Some(shut) = self.shut() {
            session.run(&shut).await?;
        }
        self.check_trigger(session).await?;
        let mut worked_off = 0;
        let mut counts = Counts::default();
        loop {
            let (count, caught) = self
                .catch_up_within(
                    session,
                    transformer
                        .as_mut()
                        .map(|transformer| &mut **transformer as _),
                    settings,
                    AT_ONCE,
                )
                .await?;
            worked_off += count;
            counts += caught;
            match count {
                0 => break,
                _ if worked_off >= FEW => return Ok(Ending::NotYet),
                _ => {}
            }
        }
        let revision = self.revision.as_str();
        self.table.check_keys(session).await?;
        let ranges = self.store.read_ranges(session, revision).await?;
        prove(&ranges)?;
        let left = self.store.count_bad_rows(session, revision).await?;
        if left > 0 && settings.bad_rows != BadRows::Leave {
            return Err(BackfillError::BadRowsLeft {
                revision: revision.to_owned(),
                count: left,
            });
        }
        for sql in self.names.removals() {
            session.run(&sql).await?;
        }
        if self.direction == Direction::Downgrade && self.keep == Keep::Nothing {
            session.run(&self.forget_old_values()).await?;
        }
        let [_, workers, _] = self.store.forget_details(revision);
        session.execute(&workers.sql, &workers.params).await?;
        let mut batches = 0;
        for range in ranges {
            batches += range.batches;
            counts += range.counts;
        }
        Ok(Ending::Proved { batches, counts })
    }

    /// Makes sure that the code, and what it says of itself, are what it began with: that was judged, and approved.
    ///
    /// # Errors
    /// [`BackfillError::Changed`].
    pub(crate) fn expects(&self, record: &Record) -> Result<(), BackfillError> {
        match record.digest == self.digest && record.spec == self.spec {
            true => Ok(()),
            false => Err(BackfillError::Changed {
                revision: self.revision.to_string(),
            }),
        }
    }

    /// The statement that says, with the last commit, that all is done.
    pub(crate) fn conclusion(&self) -> Statement {
        self.store.conclude(&self.revision)
    }
}
