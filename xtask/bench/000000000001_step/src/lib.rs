//! Creates one table, named after the revision: the least that a migration does.

use whimbrel_sdk::prelude::*;

#[whimbrel::migration]
struct Step;

impl Migration for Step {
    fn upgrade(db: &Db) -> Result<()> {
        db.run(&format!(
            "CREATE TABLE t_{} (id bigint PRIMARY KEY, name text)",
            db.revision()
        ))?;
        Ok(())
    }

    fn downgrade(db: &Db) -> Result<()> {
        db.run(&format!("DROP TABLE t_{}", db.revision()))?;
        Ok(())
    }
}
