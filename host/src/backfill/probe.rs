//! The author's part of the statements, judged under the author's own grant before the host makes them its own.

use super::error::BackfillError;
use super::job::Job;
use crate::driver::{Authority, DriverError, Session};

/// A statement that was refused, and why.
pub(crate) type Denied = (String, BackfillError);

impl Job {
    /// Has the database judge the statements that the author has a part in, in the transaction that is open. What runs later
    /// is these statements, for certain rows.
    ///
    /// # Errors
    /// The denial, or what is wrong with a condition or an expression, and the statement. The transaction is to be rolled back
    /// then.
    pub(crate) async fn probe(
        &self,
        session: &mut dyn Session,
        author: Authority,
    ) -> Result<(), Denied> {
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

    /// The same, of which nothing is left in the transaction that is open.
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
        let outcome = self.probe(session, author).await;
        let ended = session.rollback_to_savepoint(POINT).await;
        outcome?;
        ended.map_err(of_none)
    }

    /// Writes some rows as they are, and drops some where that may be, so that triggers and cascades show what they do. A row that
    /// others are at, or that must stay, shows nothing.
    ///
    /// # Errors
    /// A database error.
    pub(crate) async fn touch_some(&self, session: &mut dyn Session) -> Result<(), BackfillError> {
        const POINT: &str = "whimbrel_touch";
        self.prepare_transaction(session).await?;
        for touch in self.touches() {
            session.savepoint(POINT).await?;
            match session.run(&touch).await.map_err(BackfillError::from) {
                Ok(_) => session.release_savepoint(POINT).await?,
                Err(error) if error.is_about_data() => session.rollback_to_savepoint(POINT).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn of_none(error: DriverError) -> Denied {
    (String::new(), error.into())
}
