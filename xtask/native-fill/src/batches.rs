//! Two columns, batch by batch in the order of the key, by threads that have a part of the keys each.

use anyhow::{Context, Result};
use futures_util::future::try_join;
use tokio_postgres::{Client, NoTls};

const ROWS: i64 = 10_000;

/// Has so many threads fill the table.
pub(crate) fn fill(url: &str, workers: i64) -> Result<()> {
    let rows: i64 = on_client(url, async |client: &mut Client| {
        let row = client
            .query_one("SELECT coalesce(max(id), 0) FROM people", &[])
            .await?;
        Ok(row.get(0))
    })?;
    let part = rows / workers + 1;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|at| scope.spawn(move || fill_part(url, at * part, (at + 1) * part)))
            .collect();
        for thread in threads {
            thread.join().ok().context("a thread panicked")??;
        }
        Ok(())
    })
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

/// The rows after one key and up to another.
fn fill_part(url: &str, mut after: i64, upto: i64) -> Result<()> {
    on_client(url, async |client: &mut Client| {
        let read = client
            .prepare(
                "SELECT id, given, family FROM people WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3",
            )
            .await?;
        let update = client
            .prepare(
                "UPDATE people SET slug = new.slug, initials = new.initials
                 FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (id, slug, initials)
                 WHERE people.id = new.id",
            )
            .await?;
        loop {
            let transaction = client.transaction().await?;
            let rows = transaction.query(&read, &[&after, &upto, &ROWS]).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
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
                .execute(&update, &[&ids, &slugs, &initials])
                .await?;
            transaction.commit().await?;
        }
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
