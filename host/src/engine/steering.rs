//! What an operator sees of backfills, and does to them, while they run.

use super::backfill::backfill_failed;
use super::{Cause, Engine, Lent, RunFailure};
use crate::backfill::{BadRowReport, InvalidSetting, Job, Settings, State, Status, is_loaded};
use crate::plan::Step;
use crate::revision::{Direction, RevisionId};

impl Engine {
    /// How the backfills of this database stand; one, or all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn backfill_status(
        &self,
        revision: Option<&RevisionId>,
    ) -> Result<Vec<Status>, RunFailure> {
        let read = async {
            let mut session = self.session().await?;
            let store = self.history.backfills();
            let which = revision.map(RevisionId::as_str);
            Ok::<_, Cause>(store.status(&mut *session, which).await?)
        };
        read.await.map_err(RunFailure::untouched)
    }

    /// Rows that a backfill has set aside, at most so many, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn bad_rows(
        &self,
        revision: &RevisionId,
        most: u64,
    ) -> Result<Vec<BadRowReport>, RunFailure> {
        let read = async {
            let mut session = self.session().await?;
            let store = self.history.backfills();
            let rows = store.bad_row_reports(&mut *session, revision.as_str(), most);
            Ok::<_, Cause>(rows.await?)
        };
        read.await.map_err(RunFailure::untouched)
    }

    /// Has the workers of a backfill wait, go on, or end.
    ///
    /// # Errors
    /// [`Cause::NoBackfill`] where none of this revision has begun that is not done.
    pub async fn set_backfill_state(
        &self,
        revision: &RevisionId,
        state: State,
    ) -> Result<(), RunFailure> {
        let store = self.history.backfills();
        self.change_backfill(revision, store.set_state(revision.as_str(), state, ""))
            .await
    }

    /// Changes settings of a backfill, as [`Settings::set`] takes them; returns all of them as they are now.
    ///
    /// # Errors
    /// [`Cause::NoBackfill`]; [`BackfillError::Unfit`] for a change that makes no sense, with which nothing is changed.
    pub async fn set_backfill(
        &self,
        revision: &RevisionId,
        changes: &[String],
    ) -> Result<Settings, RunFailure> {
        const TRIES: u32 = 5;
        self.set_backfill_within(revision, changes, TRIES).await
    }

    async fn set_backfill_within(
        &self,
        revision: &RevisionId,
        changes: &[String],
        tries: u32,
    ) -> Result<Settings, RunFailure> {
        let none = || RunFailure::untouched(Cause::NoBackfill(revision.clone()));
        let mut found = self.backfill_status(Some(revision)).await?;
        let before = found.pop().ok_or_else(none)?.settings;
        let mut settings = before.clone();
        for change in changes {
            settings
                .set(change)
                .map_err(|error| RunFailure::untouched(Cause::Setting(error)))?;
        }
        if let Some(load) = &settings.load
            && settings.load != before.load
        {
            self.try_load(load).await.map_err(RunFailure::untouched)?;
        }
        let store = self.history.backfills();
        let change = store.set_settings(revision.as_str(), &before, &settings);
        match self.change_backfill(revision, change).await {
            // Someone else has changed others meanwhile.
            Err(failure) if matches!(*failure.cause, Cause::NoBackfill(_)) && tries > 1 => {
                Box::pin(self.set_backfill_within(revision, changes, tries - 1)).await
            }
            changed => changed.map(|()| settings),
        }
    }

    /// Makes sure that a load query can be run: a wrong one would end the backfill.
    async fn try_load(&self, load: &str) -> Result<(), Cause> {
        let mut session = self.session().await?;
        let tried = is_loaded(&mut *session, load).await;
        tried.map(|_| ()).map_err(|error| {
            Cause::Setting(InvalidSetting::Value {
                name: "load",
                reason: error.to_string(),
            })
        })
    }

    async fn change_backfill(
        &self,
        revision: &RevisionId,
        change: crate::driver::Statement,
    ) -> Result<(), RunFailure> {
        let changed = async {
            let mut session = self.session().await?;
            let store = self.history.backfills();
            match store.change(&mut *session, change).await? {
                true => Ok(()),
                false => Err(Cause::NoBackfill(revision.clone())),
            }
        };
        changed.await.map_err(RunFailure::untouched)
    }

    /// Has the rows that a backfill has set aside worked on once more; returns how many they are. A run to its revision
    /// does it.
    ///
    /// # Errors
    /// [`Cause::NoBackfill`]; a database error.
    pub async fn retry_backfill(&self, revision: &RevisionId) -> Result<u64, RunFailure> {
        let retried = async {
            let (job, mut session) = self.known_job(revision).await?;
            let failed = |error| backfill_failed(&step_of(revision, job.direction()), error);
            job.retry(&mut *session).await.map_err(failed)
        };
        retried.await.map_err(RunFailure::untouched)
    }

    /// Gives a backfill up that is not done: nothing is known of it any more, and the rows that were worked on stay as they
    /// are.
    ///
    /// # Errors
    /// [`Cause::NoBackfill`]; a database error.
    pub async fn abandon_backfill(&self, revision: &RevisionId) -> Result<(), RunFailure> {
        self.set_backfill_state(revision, State::Stopped).await?;
        let given_up = async {
            let mut session = self.session().await?;
            let store = self.history.backfills();
            match store.abandon(&mut *session, revision).await? {
                true => Ok(()),
                false => Err(Cause::NoBackfill(revision.clone())),
            }
        };
        given_up.await.map_err(RunFailure::untouched)
    }

    /// The job of a backfill that has begun, without asking its code whether it is the same.
    async fn known_job(&self, revision: &RevisionId) -> Result<(Job, Lent), Cause> {
        let mut session = self.session().await?;
        let store = self.history.backfills();
        let records = store.read(&mut *session, Some(revision.as_str())).await?;
        let record = records
            .into_iter()
            .find(|record| record.state != State::Done)
            .ok_or_else(|| Cause::NoBackfill(revision.clone()))?;
        let job = Job::known(&mut *session, revision, &record, store).await;
        match job {
            Ok(job) => Ok((job, session)),
            Err(error) => Err(backfill_failed(
                &step_of(revision, Direction::Upgrade),
                error,
            )),
        }
    }
}

fn step_of(revision: &RevisionId, direction: Direction) -> Step {
    Step {
        revision: revision.clone(),
        direction,
        removes: Vec::new(),
        adds: Vec::new(),
    }
}
