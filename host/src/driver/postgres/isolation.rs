//! The database's own enforcement: a migration runs on a connection of its own, logged in as a role that may nothing but
//! what the migration's grant names, for as long as its transaction lasts.
//!
//! The migration's transaction is on that connection, so that nothing it says leads to the host's rights: not RESET ROLE,
//! nor COMMIT. The host acts in it through one function ([`place`]) which takes a nonce. A row in `whimbrel_pending` with a
//! constraint that nobody meets keeps the transaction from being committed until the host has concluded it.

mod catalog;
mod findings;
mod guest;
mod place;
mod rights;
mod role;
mod session;
mod spare;

use tokio_postgres::error::SqlState;

use super::Postgres;
use super::link::Link;
use super::pooler::Route;
use crate::driver::{DatabaseError, DriverError, GuestRole};
use place::Place;
pub(super) use session::IsolatedSession;

/// What a guest's connection begins with, and RESET brings it back to: names are the system's alone, whatever a guest has
/// made.
const OWN_NAMES: &str = "-c search_path=pg_catalog,pg_temp";

/// A transaction that is not what it was.
fn broken(reason: &str) -> DriverError {
    Box::new(DatabaseError {
        sqlstate: Some(SqlState::INVALID_TRANSACTION_STATE.code().to_owned()),
        message: reason.to_owned(),
        ..DatabaseError::default()
    })
    .into()
}

/// The JSON that a query has as its only value.
fn parse<T: serde::de::DeserializeOwned>(rows: Vec<Vec<Option<String>>>) -> Result<T, DriverError> {
    let text = rows
        .into_iter()
        .flatten()
        .flatten()
        .next()
        .unwrap_or_default();
    serde_json::from_str(&text)
        .map_err(|error| DriverError::Conversion(format!("the catalog cannot be read: {error}")))
}

impl Postgres {
    /// Makes the guest's role and what isolation needs; returns what the operator should know.
    ///
    /// # Errors
    /// [`DriverError::Settings`] when the role is more than a guest may be; a database error. Nothing is changed then.
    pub(super) async fn set_up_guest(
        &self,
        session: &mut super::session::PostgresSession,
        guest: &GuestRole,
    ) -> Result<Vec<String>, DriverError> {
        let place = find(session, &self.version_table).await?;
        role::ensure(session, guest, &place).await
    }

    /// A connection of the guest's own.
    async fn guest_link(&self, guest: &GuestRole) -> Result<Link, DriverError> {
        let connection = self
            .connection
            .for_user(guest.name(), guest.password(), OWN_NAMES);
        let link = Link::open(&connection, |config| {
            config.application_name("whimbrel guest");
        })
        .await?;
        Ok(link)
    }
}

/// Where Whimbrel's own objects are, as this session sees it.
async fn find(
    session: &mut super::session::PostgresSession,
    version_table: &str,
) -> Result<Place, DriverError> {
    let (schema, name) = match version_table.rsplit_once('.') {
        Some((schema, name)) => (Some(schema.to_owned()), name),
        None => (None, version_table),
    };
    let schema = match schema {
        Some(schema) => Some(schema),
        None => current(session).await?.schema,
    };
    Ok(Place {
        schema: schema.ok_or_else(no_schema)?,
        version_table: name.to_owned(),
    })
}

fn no_schema() -> DriverError {
    DriverError::Settings {
        message: "the search path of the database's user has no schema; set one with `ALTER ROLE … SET search_path`".to_owned(),
    }
}

/// What the host's session says of itself.
struct Current {
    user: String,
    database: String,
    schema: Option<String>,
    /// The schemas that names without one are looked for in.
    path: Vec<String>,
}

async fn current(session: &mut super::session::PostgresSession) -> Result<Current, DriverError> {
    let rows = session
        .ask(
            "SELECT pg_catalog.json_build_object('user', CURRENT_USER, 'database', pg_catalog.current_database(), \
             'schema', pg_catalog.current_schema(), 'path', pg_catalog.current_schemas(false))::pg_catalog.text",
            &[],
        )
        .await?;
    #[derive(serde::Deserialize)]
    struct Answer {
        user: String,
        database: String,
        schema: Option<String>,
        path: Vec<String>,
    }
    let Answer {
        user,
        database,
        schema,
        path,
    } = parse(rows)?;
    Ok(Current {
        user,
        database,
        schema,
        path,
    })
}

/// Refuses a way to the server on which the next transaction may be in another process.
fn require_direct(route: Route) -> Result<(), DriverError> {
    match route {
        Route::Direct | Route::Unknown => Ok(()),
        Route::Pooled => Err(DriverError::Settings {
            message: "isolation = \"role\" needs the server itself, and this address leads to a pooler in transaction mode; \
                      give the server's own address"
                .to_owned(),
        }),
    }
}
