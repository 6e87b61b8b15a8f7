//! The definitions of Whimbrel's own tables, and the query that reads them all at once.

use super::History;
use crate::driver::Dialect;

impl History {
    /// The statements that make the version table and the ledger where they are missing.
    pub fn definitions(&self) -> [String; 2] {
        let (id, number, time) = match self.dialect {
            Dialect::Postgresql => (
                "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                "bigint NOT NULL DEFAULT 0",
                "timestamptz",
            ),
            Dialect::Sqlite => (
                "integer PRIMARY KEY AUTOINCREMENT",
                "integer NOT NULL DEFAULT 0",
                "text",
            ),
        };
        [
            format!(
                "CREATE TABLE IF NOT EXISTS {} (version_num text NOT NULL PRIMARY KEY)",
                self.versions
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {} (
    id {id},
    run text NOT NULL,
    revision text NOT NULL,
    action text NOT NULL,
    outcome text NOT NULL,
    digest text NOT NULL,
    source_digest text,
    parameters_digest text,
    started_at {time} NOT NULL,
    duration_us {number},
    statements {number},
    rows_touched {number},
    performed_by text NOT NULL,
    whimbrel text NOT NULL,
    error text,
    tally text
)",
                self.ledger
            ),
        ]
    }

    /// Rows of the version table, and the tally of the ledger's last row.
    pub(super) fn glance_query(&self) -> String {
        format!(
            "SELECT 'version' AS kind, version_num AS value FROM {versions}
UNION ALL
SELECT 'tally', tally FROM (SELECT tally FROM {ledger} ORDER BY id DESC LIMIT 1) AS last",
            versions = self.versions,
            ledger = self.ledger
        )
    }

    /// The ledger for people: texts first, then numbers.
    pub(super) fn log_query(&self) -> String {
        format!(
            "SELECT run, revision, action, outcome, CAST(started_at AS text) AS started_at, performed_by, whimbrel, error, \
             duration_us, statements, rows_touched
FROM {}
ORDER BY id DESC",
            self.ledger
        )
    }

    /// Rows of the version table have an empty outcome; the others are those of the ledger, in no order: to find the
    /// last of each revision takes the server longer than to send all. What was done with backups says nothing of
    /// revisions.
    pub(super) fn state_query(&self) -> String {
        format!(
            "SELECT CAST(0 AS bigint) AS id, '' AS outcome, version_num AS revision, '' AS action, '' AS digest, \
             '' AS started_at
FROM {versions}
UNION ALL
SELECT id, outcome, revision, action, digest,
       CASE WHEN outcome = 'done' THEN '' ELSE CAST(started_at AS text) END
FROM {ledger}
WHERE outcome <> 'failed' AND revision <> ''",
            versions = self.versions,
            ledger = self.ledger
        )
    }
}
