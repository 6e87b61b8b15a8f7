//! A backfill that is an UPDATE in a SQL file.

use async_trait::async_trait;

use crate::backfill::{Backfill, Spec, Transformer};
use crate::migration::{Call, MigrationError};

/// A backfill whose new values the database makes.
#[derive(Debug, Clone)]
pub struct SqlBackfill(pub Spec);

#[async_trait]
impl Backfill for SqlBackfill {
    async fn describe(&self, _: &Call) -> Result<Spec, MigrationError> {
        Ok(self.0.clone())
    }

    async fn open(&self, _: &Call) -> Result<Box<dyn Transformer>, MigrationError> {
        Err(MigrationError::Admission {
            reasons: vec!["its new values are made by the database, not by code".to_owned()],
        })
    }
}
