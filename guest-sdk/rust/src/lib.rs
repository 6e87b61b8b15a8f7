//! Write Whimbrel migrations in Rust.
//!
//! A migration is a struct with [`Migration`] implemented for it and `#[whimbrel::migration]` on it. `whimbrel
//! build` makes a WebAssembly component of it; `cargo test` runs it natively, against a real SQLite database in
//! memory (feature `testing`).
//!
//! ```
//! use whimbrel_sdk::prelude::*;
//!
//! /// Splits `users.name` into given and family name.
//! #[whimbrel::migration]
//! struct SplitNames;
//!
//! #[derive(FromRow)]
//! struct User {
//!     id: i64,
//!     name: String,
//! }
//!
//! impl Migration for SplitNames {
//!     fn upgrade(db: &Db) -> Result<()> {
//!         db.run("ALTER TABLE users ADD COLUMN given_name TEXT")?;
//!         db.run("ALTER TABLE users ADD COLUMN family_name TEXT")?;
//!         let total = db.query_one::<u32>("SELECT count(*) FROM users", params![])?;
//!         let users = db.cursor::<User>("SELECT id, name FROM users", params![])?;
//!         for user in users.with_progress(u64::from(total)) {
//!             let user = user?;
//!             let (given, family) = user.name.rsplit_once(' ').unwrap_or(("", &user.name));
//!             db.execute(
//!                 "UPDATE users SET given_name = $2, family_name = $3 WHERE id = $1",
//!                 params![user.id, given, family],
//!             )?;
//!         }
//!         whimbrel::info!("split {total} names");
//!         Ok(())
//!     }
//!
//!     fn downgrade(db: &Db) -> Result<()> {
//!         db.run("ALTER TABLE users DROP COLUMN family_name")?;
//!         db.run("ALTER TABLE users DROP COLUMN given_name")?;
//!         Ok(())
//!     }
//! }
//!
//! # #[cfg(feature = "testing")]
//! # fn main() -> Result<()> {
//! let mut database = whimbrel::testing::Database::new()?;
//! database.db().run("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")?;
//! database.db().run("INSERT INTO users (name) VALUES ('Ada Lovelace')")?;
//!
//! let said = database.upgrade::<SplitNames>()?;
//!
//! let family: String = database.db().query_one("SELECT family_name FROM users", params![])?;
//! assert_eq!(family, "Lovelace");
//! assert_eq!(said.lines(), ["split 1 names"]);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "testing"))]
//! # fn main() {}
//! ```

pub extern crate anyhow;
pub extern crate self as whimbrel;

mod backfill;
#[doc(hidden)]
pub mod backfill_bindings;
mod batch;
#[doc(hidden)]
pub mod bindings;
mod calendar;
mod cursor;
mod db;
mod error;
#[cfg(target_family = "wasm")]
mod export;
#[cfg_attr(
    not(target_family = "wasm"),
    allow(
        dead_code,
        reason = "natively an error stays what it is; only its tests report one"
    )
)]
mod failure;
#[cfg(target_family = "wasm")]
mod guest;
pub mod host;
pub mod log;
mod migration;
mod parameter;
mod row;
mod row_buffer;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub mod testing;
mod text_types;
mod value;

pub use backfill::{Backfill, Changed, Changes, Description, Order, backfill};
pub use batch::Batch;
pub use calendar::{Date, InvalidTime, Time, Timestamp, Timestamptz};
pub use cursor::{Batches, Cursor};
pub use db::{Db, Dialect};
pub use error::{DatabaseError, Denial, Error};
pub use failure::HintExt;
pub use host::Direction;
pub use log::{ProgressExt, progress};
pub use migration::{Migration, migration};
pub use parameter::FromParameter;
pub use row::{FromRow, Row};
pub use row_buffer::{Cell, RowBuffer, RowWriter, ToRow};
pub use text_types::{Element, Json, Numeric, Uuid, array};
pub use value::{Column, FromValue, Interval, OtherValue, ToValue, Value, ValueRef};

/// What most migrations use.
pub mod prelude {
    pub use anyhow::{Context, Result, anyhow, bail, ensure};

    pub use crate::{
        Db, Dialect, FromRow, HintExt, Migration, ProgressExt, Row, RowBuffer, ToRow, params,
        whimbrel,
    };
}

/// For the code that `#[whimbrel::migration]` writes; no part of the API.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use crate::export::{describe, downgrade, transform, upgrade};
}
