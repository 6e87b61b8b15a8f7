//! Renames `users.full_name` to `display_name`, which keeps what people typed, and splits it into given name, family
//! name, title and suffix, with capitals and spaces put right.

mod name;

use name::Name;
use whimbrel_sdk::prelude::*;

#[whimbrel::migration]
struct SplitUserNames;

#[derive(FromRow)]
struct User {
    id: i64,
    display_name: String,
}

impl Migration for SplitUserNames {
    fn upgrade(db: &Db) -> Result<()> {
        db.run("ALTER TABLE users RENAME COLUMN full_name TO display_name")?;
        for column in ["title", "given_name", "family_name", "name_suffix"] {
            db.run(&format!("ALTER TABLE users ADD COLUMN {column} text"))?;
        }

        let total = db.query_one::<u32>("SELECT count(*) FROM users", params![])?;
        let users =
            db.cursor::<User>("SELECT id, display_name FROM users ORDER BY id", params![])?;
        for user in users.with_progress(u64::from(total)) {
            let user = user?;
            let name = Name::parse(&user.display_name);
            db.execute(
                "UPDATE users SET title = $2, given_name = $3, family_name = $4, name_suffix = $5 WHERE id = $1",
                params![user.id, name.title, name.given, name.family, name.suffix],
            )
            .with_context(|| format!("user {}", user.id))?;
        }

        let mononyms = db.query_one::<u32>(
            "SELECT count(*) FROM users WHERE family_name IS NULL",
            params![],
        )?;
        whimbrel::info!("split {total} names; {mononyms} of them are a single name");
        Ok(())
    }

    fn downgrade(db: &Db) -> Result<()> {
        for column in ["name_suffix", "family_name", "given_name", "title"] {
            db.run(&format!("ALTER TABLE users DROP COLUMN {column}"))?;
        }
        db.run("ALTER TABLE users RENAME COLUMN display_name TO full_name")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_sdk::testing::Database;

    use super::*;

    fn users(names: &[&str]) -> Result<Database> {
        let database = Database::new()?;
        database.script("CREATE TABLE users (id bigint PRIMARY KEY, full_name text NOT NULL)")?;
        for (id, name) in (1_i64..).zip(names) {
            database
                .db()
                .execute("INSERT INTO users VALUES ($1, $2)", params![id, name])?;
        }
        Ok(database)
    }

    #[test]
    fn names_are_split_and_what_was_typed_is_kept() -> Result<()> {
        let mut database = users(&["dr. LUDWIG  VAN BEETHOVEN", "Pelé"])?;
        let said = database.upgrade::<SplitUserNames>()?;
        assert_eq!(said.lines(), ["split 2 names; 1 of them are a single name"]);
        let rows: Vec<(String, Option<String>, String, Option<String>)> = database.db().query(
            "SELECT display_name, title, given_name, family_name FROM users ORDER BY id",
            params![],
        )?;
        let beethoven = (
            "dr. LUDWIG  VAN BEETHOVEN".into(),
            Some("Dr.".into()),
            "Ludwig".into(),
            Some("van Beethoven".into()),
        );
        assert_eq!(
            rows,
            [beethoven, ("Pelé".into(), None, "Pelé".into(), None)]
        );
        Ok(())
    }

    #[test]
    fn a_downgrade_brings_back_what_was_typed() -> Result<()> {
        let mut database = users(&["  o'brien,  SINÉAD "])?;
        database.upgrade::<SplitUserNames>()?;
        database.downgrade::<SplitUserNames>()?;
        let row: (i64, String) = database.db().query_one("SELECT * FROM users", params![])?;
        assert_eq!(row, (1, "  o'brien,  SINÉAD ".into()));
        Ok(())
    }
}
