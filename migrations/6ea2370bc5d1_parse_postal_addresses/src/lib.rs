//! Parses the free text in `users.postal_address` into columns. The text stays as it was typed, so that nothing is
//! lost where it cannot be read.

mod address;

use address::Address;
use whimbrel_sdk::prelude::*;

#[whimbrel::migration]
struct ParsePostalAddresses;

const COLUMNS: [&str; 6] = [
    "street",
    "house_number",
    "postal_code",
    "city",
    "region",
    "country",
];

#[derive(FromRow)]
struct User {
    id: i64,
    postal_address: String,
}

impl Migration for ParsePostalAddresses {
    fn upgrade(db: &Db) -> Result<()> {
        for column in COLUMNS {
            db.run(&format!("ALTER TABLE users ADD COLUMN {column} text"))?;
        }

        let with_address = "FROM users WHERE postal_address IS NOT NULL";
        let total = db.query_one::<u32>(&format!("SELECT count(*) {with_address}"), params![])?;
        let users = db.cursor::<User>(
            &format!("SELECT id, postal_address {with_address} ORDER BY id"),
            params![],
        )?;
        let mut unread = 0;
        for user in users.with_progress(u64::from(total)) {
            let user = user?;
            let Some(address) = Address::parse(&user.postal_address) else {
                whimbrel::debug!("user {}: the address cannot be read", user.id);
                unread += 1;
                continue;
            };
            db.execute(
                "UPDATE users SET street = $2, house_number = $3, postal_code = $4, city = $5, region = $6, country = $7
                 WHERE id = $1",
                params![
                    user.id,
                    address.street,
                    address.house_number,
                    address.postal_code,
                    address.city,
                    address.region,
                    address.country
                ],
            )
            .with_context(|| format!("user {}", user.id))?;
        }

        if unread > 0 {
            whimbrel::warn!(
                "{unread} of {total} addresses cannot be read; they stay in postal_address alone"
            );
        }
        whimbrel::info!("parsed {} addresses", total - unread);
        Ok(())
    }

    fn downgrade(db: &Db) -> Result<()> {
        for column in COLUMNS.iter().rev() {
            db.run(&format!("ALTER TABLE users DROP COLUMN {column}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_sdk::testing::Database;

    use super::*;

    #[test]
    fn what_cannot_be_read_is_counted_and_left_alone() -> Result<()> {
        let mut database = Database::new()?;
        database.script(
            "CREATE TABLE users (id bigint PRIMARY KEY, postal_address text);
             INSERT INTO users VALUES
                 (1, 'Unter den Linden 77, 10117 Berlin, Germany'), (2, 'ask at the desk'), (3, NULL);",
        )?;
        let said = database.upgrade::<ParsePostalAddresses>()?;
        assert_eq!(
            said.lines(),
            [
                "user 2: the address cannot be read",
                "1 of 2 addresses cannot be read; they stay in postal_address alone",
                "parsed 1 addresses",
            ]
        );
        let cities: Vec<(i64, Option<String>, Option<String>)> = database.db().query(
            "SELECT id, postal_code, city FROM users ORDER BY id",
            params![],
        )?;
        let berlin = (1, Some("10117".into()), Some("Berlin".into()));
        assert_eq!(cities, [berlin, (2, None, None), (3, None, None)]);

        database.downgrade::<ParsePostalAddresses>()?;
        let columns: Vec<String> = database
            .db()
            .query("SELECT name FROM pragma_table_info('users')", params![])?;
        assert_eq!(columns, ["id", "postal_address"]);
        Ok(())
    }
}
