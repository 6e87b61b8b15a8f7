//! What the author of a backfill has made, judged before the host makes it its own.

use std::sync::Arc;

use super::Engine;
use super::audit::{audit, is_audited};
use super::call::Ready;
use crate::backfill::{Backfill, BackfillError, Change, Job, Keep, Spec, State};
use crate::driver::{Authority, Session};
use crate::migration::{MigrationError, StatementSource};
use crate::plan::Step;
use crate::revision::{Direction, Kind};

/// Whether rows are tried before a backfill begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    None,
    Some,
}

impl Engine {
    /// What a backfill works on here, after the database has judged its statements.
    pub(super) async fn job(
        &self,
        session: &mut dyn Session,
        step: &Step,
        code: &dyn Backfill,
        ready: &Ready,
    ) -> Result<(Job, Spec), BackfillError> {
        let (job, spec, author) = self.fit(session, step, code, ready).await?;
        let store = self.history.backfills();
        let known = store.read(session, Some(step.revision.as_str())).await?;
        let begun = known.iter().find(|record| record.state != State::Done);
        if let Some(begun) = begun {
            job.expects(begun)?;
        }
        if let Some(author) = author {
            // Grants may have changed since it began; what rows do to others was looked at then.
            let sample = match begun {
                None => Sample::Some,
                Some(_) => Sample::None,
            };
            self.judge(session, &job, author, ready, sample).await?;
        }
        Ok((job, spec))
    }

    /// Has the database judge what the author of a backfill has made, in a transaction of its own: the statements over no rows,
    /// and what some rows do to others by triggers and cascades.
    pub(super) async fn judge(
        &self,
        session: &mut dyn Session,
        job: &Job,
        author: Authority,
        ready: &Ready,
        sample: Sample,
    ) -> Result<(), BackfillError> {
        let grant = &ready.call.grant;
        // Of a role's own connection nothing can be asked in the host's name.
        let is_sampled = sample == Sample::Some && is_audited(grant) && !session.enforces(&author);
        session.begin().await?;
        let judged = async {
            job.probe(session, author).await.map_err(denied)?;
            if is_sampled {
                job.touch_some(session).await?;
                audit(grant, session).await?;
            }
            Ok(())
        };
        let judged = judged.await;
        let ended = session.rollback().await;
        judged.and(ended.map_err(BackfillError::from))
    }

    /// What a backfill works on here, and under whose authority its author's statements are.
    pub(super) async fn fit(
        &self,
        session: &mut dyn Session,
        step: &Step,
        code: &dyn Backfill,
        ready: &Ready,
    ) -> Result<(Job, Spec, Option<Authority>), BackfillError> {
        let store = self.history.backfills();
        let digest = &ready.fingerprint.content;
        let new = async |session: &mut dyn Session, spec: &Spec| {
            let (revision, direction) = (&step.revision, step.direction);
            Job::new(session, revision, direction, digest, spec, store.clone()).await
        };
        let described = code.describe(&ready.call).await?;
        let patience = ready.call.grant.limits.time;
        let new = async |session: &mut dyn Session, spec: &Spec| {
            let job = new(session, spec).await?;
            Ok::<_, BackfillError>(job.within(patience))
        };
        if (step.direction, described.keep) == (Direction::Downgrade, Keep::OldValues) {
            self.is_what_was_kept(session, step, &described).await?;
            let upwards = new(session, &described).await?;
            let dialect = session.dialect();
            let key = upwards.key_names();
            let spec = Job::restoring(&described, &step.revision, (&store, dialect), key);
            return Ok((new(session, &spec).await?, spec, None));
        }
        let author = self.author(step, ready);
        let is_plain = described.condition.is_none() && described.change == Change::Transform;
        if session.enforces(&author) && !is_plain {
            return Err(BackfillError::Unfit(
                "with isolation = \"role\" it may have neither an expression nor a condition: batches are written by Whimbrel's own role, and would run them as that; have a component make the new values of all rows, and keep those that are not meant".to_owned(),
            ));
        }
        Ok((new(session, &described).await?, described, Some(author)))
    }

    /// Makes sure that old values are put back where they came from: what the way up wrote was judged, and the way back is the
    /// host's own.
    async fn is_what_was_kept(
        &self,
        session: &mut dyn Session,
        step: &Step,
        described: &Spec,
    ) -> Result<(), BackfillError> {
        let store = self.history.backfills();
        let known = store.read(session, Some(step.revision.as_str())).await?;
        let is_same = known.iter().any(|record| match record.direction() {
            Direction::Upgrade => record.state == State::Done && record.spec == *described,
            // It is compared with what it began with.
            Direction::Downgrade => record.state != State::Done,
        });
        match is_same {
            true => Ok(()),
            false => Err(BackfillError::Unfit(
                "it says something else of itself than when it kept old values, or nothing is known of that: they cannot be put back".to_owned(),
            )),
        }
    }

    /// Under whose authority the statements of a backfill's author are.
    pub(super) fn author(&self, step: &Step, ready: &Ready) -> Authority {
        let grant = Arc::clone(&ready.call.grant);
        match self.graph.get(step.revision.as_str()).map(|at| at.kind) {
            Some(Kind::Sql) => Authority::File(grant),
            _ => Authority::Guest(grant),
        }
    }
}

/// What the author's own statement failed with.
pub(super) fn denied((statement, error): (String, BackfillError)) -> BackfillError {
    match error {
        BackfillError::Database(source) => MigrationError::Statement {
            statement: (!statement.is_empty()).then(|| {
                Box::new(StatementSource {
                    sql: statement,
                    origin: None,
                })
            }),
            source,
        }
        .into(),
        error => error,
    }
}
