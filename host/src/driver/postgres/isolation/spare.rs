//! The next guest's connection, made while this one's migration runs.
//!
//! A login and the first look at the catalog take longer than most migrations. Nobody has used the connection before its
//! guest does, so that it is as fresh as one that is made then.

use tokio::task::JoinSet;

use super::findings::{Belongings, Findings};
use super::guest::QUICK;
use crate::driver::postgres::Postgres;
use crate::driver::postgres::session::PostgresSession;
use crate::driver::{DriverError, GuestRole, Session};

/// A connection that is under way or waits, or none. It is closed when this is dropped.
#[derive(Default)]
pub(super) struct Spare(JoinSet<Result<PostgresSession, DriverError>>);

impl Spare {
    /// Begins to make one, unless there is one. `user` is who the host is.
    pub(super) fn prepare(&mut self, driver: &Postgres, role: &GuestRole, user: &str) {
        if !self.0.is_empty() {
            return;
        }
        let (driver, role, user) = (driver.clone(), role.clone(), user.to_owned());
        self.0.spawn(async move {
            let mut session = driver.session(driver.guest_link(&role).await?);
            acquaint(&mut session, &role, &user).await?;
            Ok(session)
        });
    }

    /// The connection, if there is one and it still answers. What is wrong with it shows again with a new one.
    pub(super) async fn take(&mut self) -> Option<PostgresSession> {
        let mut session = self.0.join_next().await?.ok()?.ok()?;
        // The guest before this one may end it, as connections of the same role can.
        session.simple("").await.ok()?;
        Some(session)
    }
}

/// Has the server process read what of the catalog the end of a visit asks for.
async fn acquaint(
    session: &mut PostgresSession,
    role: &GuestRole,
    user: &str,
) -> Result<(), DriverError> {
    session.begin().await?;
    session.batch(QUICK).await?;
    Findings::read(session, role.name(), user).await?;
    Belongings::of(session, &[0]).await?;
    session.rollback().await
}
