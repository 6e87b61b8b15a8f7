//! Replaces the CRC-32 of code and name in `projects.checksum`, which two projects can share, by the SHA-256 of
//! everything that describes a project. A checksum that is wrong today is reported before it is replaced.

mod checksum;

use checksum::{crc32, sha256};
use whimbrel_sdk::Date;
use whimbrel_sdk::prelude::*;

#[whimbrel::migration]
struct RecomputeProjectChecksums;

#[derive(FromRow)]
struct Project {
    id: i64,
    code: String,
    name: String,
    starts_on: Date,
    ends_on: Option<Date>,
    checksum: Option<String>,
}

impl Project {
    fn all(db: &Db) -> Result<impl Iterator<Item = Result<Self, whimbrel::Error>>> {
        let total = db.query_one::<u32>("SELECT count(*) FROM projects", params![])?;
        let projects = db.cursor::<Self>(
            "SELECT id, code, name, starts_on, ends_on, checksum FROM projects ORDER BY id",
            params![],
        )?;
        Ok(projects.with_progress(u64::from(total)))
    }

    fn short_checksum(&self) -> String {
        crc32(&[&self.code, &self.name])
    }

    fn full_checksum(&self) -> String {
        let ends_on = self.ends_on.map_or_else(String::new, |day| day.to_string());
        sha256(&[
            &self.code,
            &self.name,
            &self.starts_on.to_string(),
            &ends_on,
        ])
    }

    fn set_checksum(&self, db: &Db, checksum: &str) -> Result<()> {
        db.execute(
            "UPDATE projects SET checksum = $2 WHERE id = $1",
            params![self.id, checksum],
        )
        .with_context(|| format!("project {}", self.code))?;
        Ok(())
    }
}

impl Migration for RecomputeProjectChecksums {
    fn upgrade(db: &Db) -> Result<()> {
        let mut wrong = 0;
        for project in Project::all(db)? {
            let project = project?;
            if project
                .checksum
                .as_ref()
                .is_some_and(|checksum| *checksum != project.short_checksum())
            {
                whimbrel::debug!("the checksum of project {} was wrong", project.code);
                wrong += 1;
            }
            project.set_checksum(db, &project.full_checksum())?;
        }
        if wrong > 0 {
            whimbrel::warn!("{wrong} projects had a wrong checksum");
        }
        Ok(())
    }

    fn downgrade(db: &Db) -> Result<()> {
        for project in Project::all(db)? {
            let project = project?;
            project.set_checksum(db, &project.short_checksum())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_sdk::testing::Database;

    use super::*;

    fn checksums(database: &Database) -> Result<Vec<String>> {
        Ok(database
            .db()
            .query("SELECT checksum FROM projects ORDER BY id", params![])?)
    }

    #[test]
    fn checksums_change_and_change_back_and_wrong_ones_are_reported() -> Result<()> {
        let mut database = Database::new()?;
        database.script(
            "CREATE TABLE projects (
                 id bigint PRIMARY KEY, code text, name text, starts_on date, ends_on date, checksum text
             );
             INSERT INTO projects VALUES
                 (1, 'PRJ-0001', 'Café', '2026-01-05', NULL, NULL),
                 (2, 'PRJ-0002', 'Harbour', '2026-01-05', '2026-06-30', '00000000');",
        )?;
        let project_1 = crc32(&["PRJ-0001", "Café"]);
        database.db().execute(
            "UPDATE projects SET checksum = $1 WHERE id = 1",
            params![&project_1],
        )?;

        let said = database.upgrade::<RecomputeProjectChecksums>()?;

        assert_eq!(
            said.lines(),
            [
                "the checksum of project PRJ-0002 was wrong",
                "1 projects had a wrong checksum"
            ]
        );
        let expected = sha256(&["PRJ-0002", "Harbour", "2026-01-05", "2026-06-30"]);
        assert_eq!(checksums(&database)?[1], expected);

        database.downgrade::<RecomputeProjectChecksums>()?;
        assert_eq!(
            checksums(&database)?,
            [project_1, crc32(&["PRJ-0002", "Harbour"])]
        );
        Ok(())
    }
}
