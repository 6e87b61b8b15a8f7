//! Signs of life: which workers there are, and what becomes of what the dead ones had.

use super::record::{count, number_of, real, text};
use super::store::Store;
use crate::driver::{DriverError, ResultLimit, Session, Statement, Value, process};
use crate::revision::RevisionId;

impl Store {
    /// Says that a worker lives, and what it is doing.
    pub(super) fn sign_of_life(
        &self,
        revision: &RevisionId,
        worker: &str,
        (host, pid): (&str, u32),
        doing: &str,
        rows: u64,
    ) -> Statement {
        Statement::new(
            format!(
                "INSERT INTO {} (worker, revision, place, pid, process, doing, rows_done, seen) VALUES ($1, $2, $3, $6, $7, $4, $5, {now}) \
                 ON CONFLICT (worker) DO UPDATE SET doing = excluded.doing, rows_done = excluded.rows_done, seen = {now}{}",
                self.workers(),
                self.soon(" RETURNING"),
                now = self.now()
            ),
            [
                Value::from(worker),
                Value::from(revision.as_str()),
                Value::from(format!("{host}, process {pid}")),
                Value::from(doing),
                number_of(rows),
                Value::Int64(pid.into()),
                Value::from(process::identity(pid)),
            ],
        )
    }

    /// Takes the ranges of workers of this machine that are seen to have died, so that their leases need not be waited for;
    /// returns whether there were any. They cannot come back, and if one did, its next batch would touch no range.
    pub(super) async fn bury(
        &self,
        session: &mut dyn Session,
        revision: &str,
    ) -> Result<bool, DriverError> {
        let sql = format!(
            "SELECT worker, pid, process FROM {} WHERE revision = $1 AND process IS NOT NULL",
            self.workers()
        );
        let found = session
            .query(&sql, &[Value::from(revision)], ResultLimit::NONE)
            .await?;
        let mut is_any = false;
        for row in found.into_rows() {
            let mut values = row.into_iter();
            let (worker, pid) = (text(values.next()), count(values.next()));
            let identity = text(values.next());
            let Ok(pid) = u32::try_from(pid) else {
                continue;
            };
            if !process::is_seen_to_have_ended(pid, &identity) {
                continue;
            }
            let free = format!(
                "UPDATE {} SET owner = '', lease_until = 0 WHERE revision = $1 AND owner = $2",
                self.ranges()
            );
            let params = [Value::from(revision), Value::from(worker.as_str())];
            session.execute(&free, &params).await?;
            let Statement { sql, params } = self.farewell(&worker);
            session.execute(&sql, &params).await?;
            is_any = true;
        }
        Ok(is_any)
    }

    /// Says that a worker has ended.
    pub(super) fn farewell(&self, worker: &str) -> Statement {
        Statement::new(
            format!(
                "DELETE FROM {} WHERE worker = $1{}",
                self.workers(),
                self.soon(" RETURNING")
            ),
            [Value::from(worker)],
        )
    }

    /// Workers: where, what they are doing, and how many seconds ago they said so.
    pub(crate) async fn read_workers(
        &self,
        session: &mut dyn Session,
        revision: &str,
    ) -> Result<Vec<(String, String, u64, f64)>, DriverError> {
        let sql = format!(
            "SELECT place, doing, rows_done, {} - seen FROM {} WHERE revision = $1 ORDER BY place, worker",
            self.now(),
            self.workers()
        );
        let found = session
            .query(&sql, &[Value::from(revision)], ResultLimit::NONE)
            .await?;
        let read = |row: Vec<Value>| {
            let mut values = row.into_iter();
            (
                text(values.next()),
                text(values.next()),
                count(values.next()),
                real(values.next()),
            )
        };
        Ok(found.into_rows().into_iter().map(read).collect())
    }
}
