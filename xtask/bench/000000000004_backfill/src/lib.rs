//! Computes two columns of a large table as a backfill. `xtask/native-fill` has its twin.

use whimbrel_sdk::prelude::*;
use whimbrel_sdk::{Backfill, Batch, Changes, Description, Direction};

#[whimbrel::backfill]
struct Names;

impl Backfill for Names {
    fn describe(_: Direction) -> Result<Description> {
        Ok(Description::new("people")
            .reads(["given", "family"])
            .writes(["slug", "initials"]))
    }

    fn transform(rows: &Batch, changes: &mut Changes) -> Result<()> {
        let names = rows.values::<&str>(0)?.zip(rows.values::<&str>(1)?);
        for (given, family) in names {
            let (given, family) = (given?, family?);
            changes.write(&(slug(given, family), initials(given, family)))?;
        }
        Ok(())
    }
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
