//! Replaces the country that customers typed by its code, as the list in `countries.csv` has it. The list is part of
//! the component: what it did last year it does today.

use std::collections::BTreeMap;

use whimbrel_sdk::prelude::*;

const COUNTRIES: &str = include_str!("countries.csv");

#[whimbrel::migration]
struct UseCountryCodes;

#[derive(FromRow)]
struct Customer {
    id: i64,
    country: String,
}

impl Migration for UseCountryCodes {
    fn upgrade(db: &Db) -> Result<()> {
        let unknown: String = db.parameter("unknown")?;
        let codes = codes_by_name(COUNTRIES)?;

        db.run("ALTER TABLE customers ADD COLUMN country_code text")?;
        for customer in
            db.cursor::<Customer>("SELECT id, country FROM customers ORDER BY id", params![])?
        {
            let customer = customer?;
            let code = codes.get(&customer.country.to_lowercase()).copied();
            if code.is_none() {
                whimbrel::warn!("customer {} lives in an unknown country", customer.id);
            }
            db.execute(
                "UPDATE customers SET country_code = $2 WHERE id = $1",
                params![customer.id, code.unwrap_or(&unknown)],
            )?;
        }
        Ok(())
    }

    fn downgrade(db: &Db) -> Result<()> {
        db.run("ALTER TABLE customers DROP COLUMN country_code")?;
        Ok(())
    }
}

/// Every name of every country, in lower case, with the country's code.
fn codes_by_name(csv: &str) -> Result<BTreeMap<String, &str>> {
    let mut codes = BTreeMap::new();
    for (number, line) in csv.lines().enumerate().skip(1) {
        let mut fields = line.splitn(3, ',');
        let (Some(code), Some(name), Some(others)) = (fields.next(), fields.next(), fields.next())
        else {
            bail!("countries.csv:{}: three fields are expected", number + 1);
        };
        for name in others
            .split(';')
            .chain([name])
            .filter(|name| !name.is_empty())
        {
            codes.insert(name.to_lowercase(), code);
        }
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use whimbrel_sdk::testing::Database;

    use super::*;

    #[test]
    fn countries_become_codes_and_unknown_ones_are_reported() -> Result<()> {
        let mut database = Database::new()?;
        database.set_parameter("unknown", "\"ZZ\"");
        database.script(
            "CREATE TABLE customers (id bigint PRIMARY KEY, country text NOT NULL);
             INSERT INTO customers VALUES (1, 'holland'), (2, 'U.K.'), (3, 'Atlantis');",
        )?;
        let said = database.upgrade::<UseCountryCodes>()?;
        assert_eq!(said.lines(), ["customer 3 lives in an unknown country"]);
        let codes: Vec<String> = database
            .db()
            .query("SELECT country_code FROM customers ORDER BY id", params![])?;
        assert_eq!(codes, ["NL", "GB", "ZZ"]);
        Ok(())
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = codes_by_name("code,name,other names\nDE")
            .map(drop)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "countries.csv:2: three fields are expected"
        );
    }
}
