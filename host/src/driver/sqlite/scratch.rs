//! A database in a temporary folder.

use std::sync::Arc;

use async_trait::async_trait;
use camino::Utf8Path;
use tempfile::TempDir;

use super::Sqlite;
use crate::driver::{Driver, DriverError, Scratch, Settings};

struct SqliteScratch {
    driver: Arc<Sqlite>,
    folder: TempDir,
}

/// Makes an empty database.
///
/// # Errors
/// [`DriverError::Settings`] where no temporary folder can be made.
pub(super) fn make(settings: &Settings) -> Result<Box<dyn Scratch>, DriverError> {
    let failed = |message: String| DriverError::Settings {
        message: format!("no database can be made in the temporary folder: {message}"),
    };
    let folder = TempDir::new().map_err(|error| failed(error.to_string()))?;
    let base = Utf8Path::from_path(folder.path())
        .ok_or_else(|| failed("its path is not UTF-8".to_owned()))?;
    let driver = Arc::new(Sqlite::new("sqlite:scratch.db", base, settings)?);
    Ok(Box::new(SqliteScratch { driver, folder }))
}

#[async_trait]
impl Scratch for SqliteScratch {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::clone(&self.driver) as _
    }

    async fn discard(self: Box<Self>) -> Result<(), DriverError> {
        let path = self.folder.path().display().to_string();
        self.folder.close().map_err(|error| DriverError::Settings {
            message: format!("{path} cannot be removed: {error}"),
        })
    }
}
