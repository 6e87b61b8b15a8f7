//! The author's part of the statements, judged under the author's own grant before the host makes them its own.

use super::error::BackfillError;
use super::job::Job;
use crate::driver::{Authority, DriverError, Session};

/// A statement that was refused, and why.
pub(crate) type Denied = (String, BackfillError);

impl Job {
    /// Has the database judge the statements that the author has a part in, in a transaction of its own. What runs later is
    /// these statements, for certain rows.
    ///
    /// # Errors
    /// The denial, or what is wrong with a condition or an expression, and the statement.
    pub(crate) async fn probe(
        &self,
        session: &mut dyn Session,
        author: Authority,
    ) -> Result<(), Denied> {
        session.begin().await.map_err(of_none)?;
        let outcome = self.run_probes(session, author).await;
        let ended = session.rollback().await;
        outcome?;
        ended.map_err(of_none)
    }

    /// The same within the transaction that is open.
    ///
    /// # Errors
    /// As [`Job::probe`].
    pub(crate) async fn probe_within(
        &self,
        session: &mut dyn Session,
        author: Authority,
    ) -> Result<(), Denied> {
        const POINT: &str = "whimbrel_probe";
        session.savepoint(POINT).await.map_err(of_none)?;
        let outcome = self.run_probes(session, author).await;
        let ended = session.rollback_to_savepoint(POINT).await;
        outcome?;
        ended.map_err(of_none)
    }

    async fn run_probes(&self, session: &mut dyn Session, author: Authority) -> Result<(), Denied> {
        session.assume(author).await.map_err(of_none)?;
        let mut outcome = Ok(());
        for probe in self.probes() {
            if let Err(error) = session.run(&probe).await {
                outcome = Err((probe, error.into()));
                break;
            }
        }
        let assumed = session.assume(Authority::Host).await;
        outcome?;
        assumed.map_err(of_none)
    }
}

fn of_none(error: DriverError) -> Denied {
    (String::new(), error.into())
}
