//! Many small statements: all of one text with parameters, or each of a text of its own.

use whimbrel_sdk::prelude::*;

#[whimbrel::migration]
struct Many;

impl Migration for Many {
    fn upgrade(db: &Db) -> Result<()> {
        let statements: i64 = db.parameter("statements")?;
        let literals: bool = db.parameter("literals")?;
        for number in 0..statements {
            let id = number % 1_000;
            match literals {
                true => db.run(&format!(
                    "UPDATE people SET note = 'note {number}' WHERE id = {id}"
                ))?,
                false => {
                    db.execute(
                        "UPDATE people SET note = $1 WHERE id = $2",
                        params![format!("note {number}"), id],
                    )?;
                }
            }
        }
        Ok(())
    }

    fn downgrade(_: &Db) -> Result<()> {
        Ok(())
    }
}
