//! Fills a column by its own loop: reads a batch, computes, writes the batch, all in one transaction.
//! `xtask/bench/000000000002_fill` is its twin. With more arguments it computes two columns by the key, a transaction for
//! each batch, as `xtask/bench/000000000004_backfill` does.

mod batches;

use anyhow::{Context, Result};
use batches::Batches;
use futures_util::future::try_join;
use tokio_postgres::{Client, NoTls};

const ROWS: i32 = 10_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("which database?")?;
    let more: Vec<String> = arguments.collect();
    if !more.is_empty() {
        return Batches::read(&more)?.fill(&url);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        let work = async {
            fill(client).await?;
            Ok(())
        };
        let connection = async { anyhow::Ok(connection.await?) };
        try_join(work, connection).await?;
        Ok(())
    })
}

async fn fill(mut client: Client) -> Result<()> {
    let transaction = client.transaction().await?;
    let people = transaction
        .prepare("SELECT id, given, family FROM people ORDER BY id")
        .await?;
    let update = transaction
        .prepare(
            "UPDATE people SET slug = new.slug FROM (SELECT unnest($1::bigint[]) AS id, unnest($2::text[]) AS slug) AS new
             WHERE people.id = new.id",
        )
        .await?;
    let portal = transaction.bind(&people, &[]).await?;
    loop {
        let rows = transaction.query_portal(&portal, ROWS).await?;
        if rows.is_empty() {
            break;
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let slugs: Vec<String> = rows
            .iter()
            .map(|row| slug(row.get(1), row.get(2)))
            .collect();
        transaction.execute(&update, &[&ids, &slugs]).await?;
    }
    drop(portal);
    transaction.commit().await?;
    Ok(())
}

/// `ada.lovelace-1c291ca3`: the names in lower case, and their hash.
fn slug(given: &str, family: &str) -> String {
    let mut slug = format!("{given}.{family}").to_lowercase();
    let hash = slug.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    slug += &format!("-{hash:08x}");
    slug
}
