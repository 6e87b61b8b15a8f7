//! Fills a column by its own loop: reads a batch, computes, writes the batch. `xtask/native-fill` is its twin.

use whimbrel_sdk::prelude::*;

#[whimbrel::migration]
struct Fill;

const ROWS: u32 = 10_000;

impl Migration for Fill {
    fn upgrade(db: &Db) -> Result<()> {
        let people = db.query_batches(
            "SELECT id, given, family FROM people ORDER BY id",
            params![],
            ROWS,
        )?;
        let mut slugs = RowBuffer::new();
        for batch in people {
            let batch = batch?;
            let ids = batch.column::<i64>("id")?;
            let names = batch
                .column::<&str>("given")?
                .zip(batch.column::<&str>("family")?);
            slugs.clear();
            for (id, (given, family)) in ids.zip(names) {
                slugs.push(&(id?, slug(given?, family?)))?;
            }
            db.execute_many("UPDATE people SET slug = $2 WHERE id = $1", &slugs)?;
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
