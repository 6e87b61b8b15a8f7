//! {{message}}

use whimbrel_sdk::prelude::*;

#[whimbrel::migration]
struct {{type}};

impl Migration for {{type}} {
    fn upgrade(db: &Db) -> Result<()> {
        db.run("CREATE TABLE {{table}} (id bigint PRIMARY KEY, name text NOT NULL)")?;
        for (id, name) in (1_i64..).zip(["Ada", "Grace", "Barbara"]) {
            db.execute(
                "INSERT INTO {{table}} (id, name) VALUES ($1, $2)",
                params![id, name],
            )?;
        }
        let rows: i64 = db.query_one("SELECT count(*) FROM {{table}}", params![])?;
        whimbrel::info!("{rows} rows");
        Ok(())
    }

    fn downgrade(db: &Db) -> Result<()> {
        db.run("DROP TABLE {{table}}")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_sdk::testing::Database;

    use super::*;

    #[test]
    fn up_and_down_again() -> Result<()> {
        let mut database = Database::new()?;

        let said = database.upgrade::<{{type}}>()?;
        assert_eq!(said.lines(), ["3 rows"]);
        let first: String = database
            .db()
            .query_one("SELECT name FROM {{table}} WHERE id = 1", params![])?;
        assert_eq!(first, "Ada");

        database.downgrade::<{{type}}>()?;
        let tables: i64 = database.db().query_one(
            "SELECT count(*) FROM sqlite_schema WHERE name = '{{table}}'",
            params![],
        )?;
        assert_eq!(tables, 0);
        Ok(())
    }
}
