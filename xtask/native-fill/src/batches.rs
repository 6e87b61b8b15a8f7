//! Two columns, batch by batch in the order of the key, by threads that have a part of the keys each.

use anyhow::{Context, Result, bail};
use futures_util::future::try_join;
use tokio_postgres::{Client, NoTls};

/// How rows are worked on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batches {
    workers: i64,
    /// How many rows each has.
    rows: i64,
    commits: Commits,
}

/// When what is committed is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commits {
    /// With each batch.
    Durable,
    /// With the end of a thread's part.
    Deferred,
}

impl Batches {
    /// Reads `WORKERS ROWS durable|deferred`.
    pub(crate) fn read(arguments: &[String]) -> Result<Self> {
        let [workers, rows, commits] = arguments else {
            bail!("usage: native-fill URL [WORKERS ROWS durable|deferred]");
        };
        Ok(Self {
            workers: workers.parse()?,
            rows: rows.parse()?,
            commits: match commits.as_str() {
                "durable" => Commits::Durable,
                "deferred" => Commits::Deferred,
                other => bail!("`{other}` is neither durable nor deferred"),
            },
        })
    }

    /// Fills the table.
    pub(crate) fn fill(self, url: &str) -> Result<()> {
        let last: i64 = on_client(url, async |client: &mut Client| {
            let row = client
                .query_one("SELECT coalesce(max(id), 0) FROM people", &[])
                .await?;
            Ok(row.get(0))
        })?;
        let part = last / self.workers + 1;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.workers)
                .map(|at| scope.spawn(move || self.fill_part(url, at * part, (at + 1) * part)))
                .collect();
            for thread in threads {
                thread.join().ok().context("a thread panicked")??;
            }
            Ok(())
        })
    }

    /// The rows after one key and up to another.
    fn fill_part(self, url: &str, mut after: i64, upto: i64) -> Result<()> {
        on_client(url, async |client: &mut Client| {
            if self.commits == Commits::Deferred {
                client.batch_execute("SET synchronous_commit = off").await?;
            }
            let read = client
                .prepare(
                    "SELECT id, given, family FROM people WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3",
                )
                .await?;
            // The bounds keep the join from the beginning of the index.
            let update = client
                .prepare(
                    "UPDATE people SET slug = new.slug, initials = new.initials
                     FROM (SELECT unnest($1::bigint[]) AS id, unnest($2::text[]) AS slug, unnest($3::text[]) AS initials) AS new
                     WHERE people.id = new.id AND people.id >= $4 AND people.id <= $5",
                )
                .await?;
            loop {
                let transaction = client.transaction().await?;
                let rows = transaction
                    .query(&read, &[&after, &upto, &self.rows])
                    .await?;
                let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
                    break;
                };
                let first: i64 = first.get(0);
                after = last.get(0);
                let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
                let slugs: Vec<String> = rows
                    .iter()
                    .map(|row| slug(row.get(1), row.get(2)))
                    .collect();
                let initials: Vec<String> = rows
                    .iter()
                    .map(|row| initials(row.get(1), row.get(2)))
                    .collect();
                transaction
                    .execute(&update, &[&ids, &slugs, &initials, &first, &after])
                    .await?;
                transaction.commit().await?;
            }
            if self.commits == Commits::Deferred {
                // A durable commit, which has something to write, takes those before it along.
                client
                    .batch_execute(
                        "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'filled', '')",
                    )
                    .await?;
            }
            Ok(())
        })
    }
}

fn on_client<T>(url: &str, work: impl AsyncFnOnce(&mut Client) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let work = async {
            let done = work(&mut client).await?;
            drop(client);
            Ok(done)
        };
        let connection = async { anyhow::Ok(connection.await?) };
        Ok(try_join(work, connection).await?.0)
    })
}

/// `ada.lovelace`.
fn slug(given: &str, family: &str) -> String {
    format!("{given}.{family}").to_lowercase()
}

/// `AL`.
fn initials(given: &str, family: &str) -> String {
    let first = |name: &str| name.chars().next().map(|c| c.to_uppercase().to_string());
    first(given).into_iter().chain(first(family)).collect()
}
