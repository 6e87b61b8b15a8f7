//! Fills a column by its own loop: reads a batch, computes, writes the batch. `xtask/native-fill` is its twin.

use whimbrel_sdk::array;
use whimbrel_sdk::prelude::*;

#[whimbrel::migration]
struct Fill;

const ROWS: u32 = 10_000;

impl Migration for Fill {
    fn upgrade(db: &Db) -> Result<()> {
        let people = db.batches(
            "SELECT id, given, family FROM people ORDER BY id",
            params![],
            ROWS,
        )?;
        for batch in people {
            let batch = batch?;
            let ids = batch.column::<i64>("id")?.collect::<Result<Vec<_>, _>>()?;
            let given = batch.column::<&str>("given")?;
            let family = batch.column::<&str>("family")?;
            let slugs = given
                .zip(family)
                .map(|(given, family)| Ok(slug(given?, family?)))
                .collect::<Result<Vec<_>>>()?;
            db.execute(
                "UPDATE people SET slug = new.slug FROM unnest($1::bigint[], $2::text[]) AS new (id, slug)
                 WHERE people.id = new.id",
                params![array(ids), array(slugs)],
            )?;
        }
        Ok(())
    }

    fn downgrade(db: &Db) -> Result<()> {
        db.run("UPDATE people SET slug = NULL")?;
        Ok(())
    }
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
