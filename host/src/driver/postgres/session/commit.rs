//! The end of a transaction: its records and its commit, in one round trip.

use futures_util::future::join;
use tokio_postgres::error::SqlState;

use super::requests::own_request;
use super::{PostgresSession, RESET, Transaction, aborted};
use crate::driver::postgres::pooler::Route;
use crate::driver::{CommitError, Dialect, DriverError, Durability, Statement};

/// How many records make one statement.
const AT_ONCE: usize = 24;

/// Whoever sends one of these sends COMMIT behind something that fails where the transaction has failed: a bare COMMIT
/// then rolls back and calls that success.
const COMMIT_NOW: &str = "SELECT; COMMIT";
const COMMIT_DEFERRED: &str = "SET LOCAL synchronous_commit = off; COMMIT";

/// The constraints whose check can be put off, and those of them whose check is put off unless a transaction says
/// otherwise. The one that is to fail as long as a guest is in a transaction is looked at by COMMIT alone.
pub(super) const DEFERRABLE: &str = "SELECT \
        pg_catalog.string_agg(pg_catalog.format('%I.%I', n.nspname, c.conname), ', '), \
        pg_catalog.string_agg(pg_catalog.format('%I.%I', n.nspname, c.conname), ', ') FILTER (WHERE c.condeferred) \
    FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.connamespace \
    WHERE c.condeferrable AND NOT EXISTS (SELECT FROM pg_catalog.pg_class t \
        WHERE t.oid OPERATOR(pg_catalog.=) c.conrelid AND t.relname OPERATOR(pg_catalog.=) 'whimbrel_pending')";

/// The names of constraints, as a list.
struct Deferrable {
    all: Option<String>,
    /// Those whose check is put off.
    deferred: Option<String>,
}

impl PostgresSession {
    pub(super) async fn commit_inner(
        &mut self,
        records: &[Statement],
        durability: Durability,
    ) -> Result<(), CommitError> {
        match self.transaction {
            Transaction::Failed => {
                return Err(self.refuse_commit().await);
            }
            Transaction::None | Transaction::Requested if records.is_empty() => {
                self.transaction = Transaction::None;
                self.end_transaction();
                return Ok(());
            }
            // What was claimed must be held before COMMIT is on its way.
            Transaction::Requested if self.opening.claims() => {
                self.command("").await.map_err(CommitError::Record)?;
            }
            _ => {}
        }
        self.resets |= std::mem::take(&mut self.unsettled);
        // Their readers hold prepared statements, which must be closed before the server process is another's.
        self.cursors.forget_all();
        let last = records.rchunks(AT_ONCE).next().unwrap_or_default();
        for chunk in records[..records.len() - last.len()].chunks(AT_ONCE) {
            self.record(chunk).await?;
        }
        self.record_and_commit(last, durability).await
    }

    /// Makes the records, and has all constraints checked whose check was put off, in a transaction that goes on.
    pub(super) async fn record_inner(&mut self, records: &[Statement]) -> Result<(), CommitError> {
        if self.transaction == Transaction::Failed {
            return Err(self.refuse_commit().await);
        }
        self.settle_in_between()
            .await
            .map_err(CommitError::Record)?;
        let last = records.rchunks(AT_ONCE).next().unwrap_or_default();
        for chunk in records[..records.len() - last.len()].chunks(AT_ONCE) {
            self.record(chunk).await?;
        }
        let deferrable = self.record_and_look(last).await?;
        if let Err(error) = self.check_constraints(deferrable).await {
            let undone = self.roll_back().await;
            return Err(CommitError::Commit(undone.err().unwrap_or(error)));
        }
        Ok(())
    }

    /// Sends records and the question which checks were put off, and awaits both.
    async fn record_and_look(&mut self, records: &[Statement]) -> Result<Deferrable, CommitError> {
        let Statement { sql, params } = &together(records);
        self.prepare_own([sql.as_str(), DEFERRABLE])
            .await
            .map_err(CommitError::Record)?;
        let request = own_request(&self.link, &mut self.own_statements, sql, params)
            .map_err(CommitError::Record)?;
        let prepared = self.own_statements.get(DEFERRABLE);
        let client = self.link.client.clone();
        let look = async {
            match prepared {
                Some(statement) => client.query(&statement, &[]).await,
                None => client.query_typed(DEFERRABLE, &[]).await,
            }
        };
        let (recorded, found) = self
            .send(async { Ok(join(request, look).await) })
            .await
            .map_err(CommitError::Record)?;
        // Where the record failed, so did the question after it.
        let rows = match recorded.and(found) {
            Err(error) => return Err(self.not_recorded(error).await),
            Ok(rows) => rows,
        };
        let list = |at| {
            let row = rows.first()?;
            row.try_get::<_, Option<String>>(at).ok()?
        };
        Ok(Deferrable {
            all: list(0),
            deferred: list(1),
        })
    }

    /// Takes the session's own settings back in a transaction that goes on. What a pooler's connection must not keep goes at
    /// its end.
    pub(super) async fn settle_in_between(&mut self) -> Result<(), DriverError> {
        if std::mem::take(&mut self.resets) {
            self.unsettled = self.opening.route() == Route::Pooled;
            let reset = format!("{RESET}{}", self.opening.settings());
            self.command(&reset).await?;
        }
        Ok(())
    }

    /// Checks by name, and puts off again by name: `SET CONSTRAINTS ALL` would hold for constraints that come later.
    async fn check_constraints(&mut self, deferrable: Deferrable) -> Result<(), DriverError> {
        if self.cursors.are_open() {
            self.cursors.forget_all();
            self.command("CLOSE ALL").await?;
        }
        let Some(all) = deferrable.all else {
            return Ok(());
        };
        let mut check = format!("SET CONSTRAINTS {all} IMMEDIATE");
        if let Some(deferred) = deferrable.deferred {
            check.push_str(&format!("; SET CONSTRAINTS {deferred} DEFERRED"));
        }
        self.command(&check).await
    }

    /// Sends records and awaits them.
    async fn record(&mut self, records: &[Statement]) -> Result<(), CommitError> {
        let Statement { sql, params } = &together(records);
        self.prepare_own([sql.as_str()])
            .await
            .map_err(CommitError::Record)?;
        let request = own_request(&self.link, &mut self.own_statements, sql, params)
            .map_err(CommitError::Record)?;
        let result = self
            .send(async { Ok(request.await) })
            .await
            .map_err(CommitError::Record)?;
        match result {
            Err(error) => Err(self.not_recorded(error).await),
            Ok(_) => Ok(()),
        }
    }

    /// Sends records and COMMIT, and awaits both.
    async fn record_and_commit(
        &mut self,
        records: &[Statement],
        durability: Durability,
    ) -> Result<(), CommitError> {
        let Statement { sql, params } = &together(records);
        let texts = (!records.is_empty()).then_some(sql.as_str());
        self.prepare_own(texts).await.map_err(CommitError::Record)?;
        let request = match texts {
            Some(sql) => Some(
                own_request(&self.link, &mut self.own_statements, sql, params)
                    .map_err(CommitError::Record)?,
            ),
            None => None,
        };
        let recorded = async {
            match request {
                Some(request) => request.await.map(|_| ()),
                None => Ok(()),
            }
        };
        // Notices of earlier statements must not be taken for COMMIT's.
        let noticed_before = self.link.was_noticed(&SqlState::NO_ACTIVE_SQL_TRANSACTION);
        let commit = match durability {
            Durability::Now => COMMIT_NOW,
            Durability::Deferred => COMMIT_DEFERRED,
        };
        let client = self.link.client.clone();
        let sent = self
            .send(async { Ok(join(recorded, client.batch_execute(commit)).await) })
            .await
            .map_err(|error| CommitError::Commit(unknown_if_closed(error)))?;
        // Had a record failed, the server would not have committed.
        match sent {
            (_, Ok(())) => {
                self.transaction = Transaction::None;
                self.end_transaction();
                let had_ended =
                    !noticed_before && self.link.was_noticed(&SqlState::NO_ACTIVE_SQL_TRANSACTION);
                match had_ended {
                    true => Err(CommitError::Commit(aborted(
                        "the transaction had ended before it was to be committed",
                    ))),
                    false => Ok(()),
                }
            }
            (Err(error), Err(_)) if error.code().is_some() => Err(self.not_recorded(error).await),
            (_, Err(error)) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => {
                Err(self.refuse_commit().await)
            }
            (_, Err(error)) => {
                let error = unknown_if_closed(self.link.translate(error));
                if !matches!(error, DriverError::CommitUnknown { .. }) {
                    self.roll_back().await.map_err(CommitError::Commit)?;
                }
                Err(CommitError::Commit(error))
            }
        }
    }

    async fn not_recorded(&mut self, error: tokio_postgres::Error) -> CommitError {
        let conflict = error.code() == Some(&SqlState::DIVISION_BY_ZERO);
        let error = self.failed(error);
        match self.roll_back().await {
            Err(error) => CommitError::Record(error),
            Ok(()) if conflict => CommitError::Conflict,
            Ok(()) => CommitError::Record(error),
        }
    }

    async fn refuse_commit(&mut self) -> CommitError {
        CommitError::Commit(match self.roll_back().await {
            Err(error) => error,
            Ok(()) => {
                aborted("an earlier statement has failed, so that the transaction was rolled back")
            }
        })
    }
}

/// A connection that ends while COMMIT is on its way leaves open whether it was committed.
fn unknown_if_closed(error: DriverError) -> DriverError {
    match error {
        DriverError::Closed { source } => DriverError::CommitUnknown { source },
        error => error,
    }
}

/// One statement that makes all changes, and divides by zero unless each is one of exactly one row: so it can be sent
/// together with the COMMIT that must not follow it then.
fn together(records: &[Statement]) -> Statement {
    let mut changes = Vec::with_capacity(records.len());
    let mut counts = Vec::with_capacity(records.len());
    let mut params = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let change = renumbered(&record.sql, params.len());
        changes.push(format!("record_{at} AS ({change} RETURNING 1)"));
        counts.push(format!(
            "(SELECT pg_catalog.count(*) FROM record_{at}) OPERATOR(pg_catalog.=) 1"
        ));
        params.extend_from_slice(&record.params);
    }
    let sql = format!(
        "WITH {} SELECT 1 OPERATOR(pg_catalog./) ({})::pg_catalog.int4",
        changes.join(", "),
        counts.join(" AND ")
    );
    Statement { sql, params }
}

/// All changes as one statement, with its parameters in it: for what cannot take any.
///
/// # Errors
/// [`DriverError::Conversion`] for a value that no literal can have.
pub(in crate::driver::postgres) fn filled(records: &[Statement]) -> Result<String, DriverError> {
    let Statement { sql, params } = together(records);
    crate::driver::recording::filled(&sql, &params, Dialect::Postgresql)
}

/// The same statement with its parameters behind so many others.
fn renumbered(sql: &str, others: usize) -> String {
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = part[..digits].parse().unwrap_or_default();
        text.push_str(&format!("${}{}", number + others, &part[digits..]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_their_values() {
        let records = [
            Statement::new("UPDATE v SET a = $1 WHERE b = $2", ["x".into(), "y".into()]),
            Statement::new("INSERT INTO l VALUES ($1)", ["z".into()]),
        ];
        let Statement { sql, params } = together(&records);
        assert!(
            sql.contains("(UPDATE v SET a = $1 WHERE b = $2 RETURNING 1)"),
            "{sql}"
        );
        assert!(
            sql.contains("(INSERT INTO l VALUES ($3) RETURNING 1)"),
            "{sql}"
        );
        assert_eq!(params, ["x".into(), "y".into(), "z".into()]);
    }
}
