//! The time between the last range and the end: what others have changed is worked off, as the operator wishes.

use std::time::Duration;

use super::catch_up::AT_ONCE;
use super::error::BackfillError;
use super::lag::Lag;
use super::pace::{Order, Pace};
use super::record::State;
use super::rows::Transformer;
use super::settings::Settings;
use super::worker::Crew;
use crate::driver::{Session, Statement};
use crate::event::Event;

/// What the worker that does it is doing.
const DOING: &str = "works on what others have changed";

/// What this worker has seen and told.
struct Closing<'a> {
    crew: &'a Crew,
    id: String,
    lag: Lag,
    told: String,
    done: u64,
}

impl Crew {
    /// Works off notes until there are few, and waits or ends where the operator wishes that; returns the settings of then.
    /// A row that the database refuses is found by taking fewer notes at a time.
    ///
    /// # Errors
    /// A [`BackfillError`]; what was committed stays.
    pub(crate) async fn catch_up(
        &self,
        session: &mut dyn Session,
        transformer: Option<&mut (dyn Transformer + '_)>,
    ) -> Result<Settings, BackfillError> {
        let mut closing = Closing {
            crew: self,
            id: uuid::Uuid::new_v4().to_string(),
            lag: Lag::default(),
            told: String::new(),
            done: 0,
        };
        let settings = closing.work(session, transformer).await;
        let Statement { sql, params } = self.job.store.farewell(&closing.id);
        // It is missed after a while where that cannot be said.
        let _ = session.execute(&sql, &params).await;
        settings
    }
}

impl Closing<'_> {
    async fn work(
        &mut self,
        session: &mut dyn Session,
        mut transformer: Option<&mut (dyn Transformer + '_)>,
    ) -> Result<Settings, BackfillError> {
        let job = &*self.crew.job;
        let mut most = AT_ONCE;
        let mut pace = Pace::new();
        let mut settings = Settings::default();
        loop {
            if pace.is_due() {
                settings = self.permitted(session).await?;
            }
            let transformer = transformer
                .as_mut()
                .map(|transformer| &mut **transformer as _);
            let caught = job.catch_up(session, transformer, &settings, most).await;
            match caught {
                Ok(count) if count < most => return Ok(settings),
                Ok(count) => {
                    self.done += count as u64;
                    most = (most * 2).min(AT_ONCE);
                    let owed = pace.owed(count as u64, 1, &settings);
                    self.sleep(owed).await?;
                }
                Err(error) if error.is_about_data() && most > 1 => most = 1,
                Err(error) if error.is_about_data() => {
                    job.set_noted_aside(session, &settings, &error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits as long as the operator, or the state of the database, wishes; returns the settings of now.
    async fn permitted(&mut self, session: &mut dyn Session) -> Result<Settings, BackfillError> {
        let job = &*self.crew.job;
        loop {
            let found = job.store.read(session, Some(job.revision.as_str())).await?;
            let Some(record) = found.into_iter().next() else {
                return Err(BackfillError::Stopped);
            };
            match job.order(session, &record, &mut self.lag).await? {
                Order::Work => {
                    self.crew.check_limit(&record)?;
                    self.tell(session, DOING).await?;
                    return Ok(record.settings);
                }
                Order::Wait(reason) => self.tell(session, &reason).await?,
                Order::End(State::Failed, reason) => return Err(BackfillError::Failed(reason)),
                Order::End(..) => return Err(BackfillError::Stopped),
            }
            self.sleep(Duration::from_millis(500)).await?;
        }
    }

    async fn tell(&mut self, session: &mut dyn Session, doing: &str) -> Result<(), BackfillError> {
        let crew = self.crew;
        let Statement { sql, params } = (crew.job.store).sign_of_life(
            &crew.job.revision,
            &self.id,
            crew.place(),
            doing,
            self.done,
        );
        session.execute(&sql, &params).await?;
        // What is over at once need not be told.
        if self.told != doing && (doing != DOING || self.done > 0) {
            doing.clone_into(&mut self.told);
            crew.observer.event(&Event::BackfillState {
                revision: &crew.job.revision,
                doing,
            });
        }
        Ok(())
    }

    async fn sleep(&self, duration: Duration) -> Result<(), BackfillError> {
        let cancel = &self.crew.call.cancel;
        tokio::select! {
            () = cancel.requested() => Err(BackfillError::Cancelled),
            () = tokio::time::sleep(duration) => Ok(()),
        }
    }
}
