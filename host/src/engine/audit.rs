//! What a transaction has really done, compared with what was granted, before its records are written.

use super::Lent;
use super::call::Ready;
use super::step::lend;
use crate::capability::{Grant, Layer};
use crate::driver::{DriverError, Session};
use crate::migration::{MigrationError, Work};

/// Lends the session to a migration, and looks at what its transaction did.
pub(super) async fn lend_audited(
    ready: &Ready,
    session: Lent,
) -> (Lent, Result<Work, MigrationError>) {
    let (mut session, mut result) = lend(ready, session).await;
    if result.is_ok()
        && is_audited(&ready.call.grant)
        && let Err(error) = audit(&ready.call.grant, &mut *session).await
    {
        result = Err(error);
    }
    (session, result)
}

/// Whether there is anything to compare.
pub(super) fn is_audited(grant: &Grant) -> bool {
    let is_limited = grant.limits.rows_written < u64::MAX;
    grant.layers.audit == Layer::On && (is_limited || !grant.is_unrestricted())
}

/// Compares what the open transaction did with a grant.
///
/// # Errors
/// [`MigrationError::Audit`] with the differences.
pub(super) async fn audit(grant: &Grant, session: &mut dyn Session) -> Result<(), MigrationError> {
    let touched = match session.touched().await {
        Ok(touched) => touched,
        Err(error @ DriverError::Denied { .. }) => {
            return Err(MigrationError::Audit {
                differences: vec![error.to_string()],
            });
        }
        Err(source) => {
            return Err(MigrationError::Statement {
                statement: None,
                source,
            });
        }
    };
    let refused = touched.accesses.iter().filter_map(|access| {
        let refusal = grant.check(access, session.default_schema()).err()?;
        Some(refusal.to_string())
    });
    let mut differences: Vec<String> = refused.collect();
    differences.sort();
    differences.dedup();
    let limit = grant.limits.rows_written;
    if touched.rows_written > limit {
        differences.push(format!(
            "{} rows were written, those of triggers and cascades included; `rows-written` allows {limit}",
            touched.rows_written
        ));
    }
    match differences.is_empty() {
        true => Ok(()),
        false => Err(MigrationError::Audit { differences }),
    }
}
