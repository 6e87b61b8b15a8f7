//! One test body, run on every database.

use std::process::Termination;

use crate::{Backend, Database};

/// Runs a test body on a fresh database of a kind. The macros call it.
pub fn run<T, F>(backend: Backend, body: impl FnOnce(Database) -> F) -> T
where
    T: Termination,
    F: Future<Output = T>,
{
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(async { body(Database::create(backend).await).await })
}

/// Makes tests of an async function that takes a [`Database`]: one on SQLite and one on each PostgreSQL, named
/// `NAME::sqlite`, `NAME::postgres_13` and so on.
///
/// ```
/// whimbrel_tests::on_every_database! {
///     async fn starts_empty(db: whimbrel_tests::Database) {
///         assert_eq!(db.dump().await, "");
///     }
/// }
/// ```
#[macro_export]
macro_rules! on_every_database {
    ($($(#[$attribute:meta])* async fn $name:ident($($argument:tt)*) $(-> $output:ty)? $body:block)+) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports, reason = "a body may need nothing of its module")]
            use super::*;

            async fn body($($argument)*) $(-> $output)? $body

            #[test]
            fn sqlite() $(-> $output)? {
                $crate::run($crate::Backend::Sqlite, body)
            }
            #[test]
            fn postgres_13() $(-> $output)? {
                $crate::run($crate::Backend::Postgres(13), body)
            }
            #[test]
            fn postgres_15() $(-> $output)? {
                $crate::run($crate::Backend::Postgres(15), body)
            }
            #[test]
            fn postgres_18() $(-> $output)? {
                $crate::run($crate::Backend::Postgres(18), body)
            }
        }
    )+};
}

/// As [`on_every_database!`], on the PostgreSQL versions alone.
#[macro_export]
macro_rules! on_every_postgres {
    ($($(#[$attribute:meta])* async fn $name:ident($($argument:tt)*) $(-> $output:ty)? $body:block)+) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports, reason = "a body may need nothing of its module")]
            use super::*;

            async fn body($($argument)*) $(-> $output)? $body

            #[test]
            fn postgres_13() $(-> $output)? {
                $crate::run($crate::Backend::Postgres(13), body)
            }
            #[test]
            fn postgres_15() $(-> $output)? {
                $crate::run($crate::Backend::Postgres(15), body)
            }
            #[test]
            fn postgres_18() $(-> $output)? {
                $crate::run($crate::Backend::Postgres(18), body)
            }
        }
    )+};
}
