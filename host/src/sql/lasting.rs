//! Statements with effects that a rollback does not undo.

use super::{Lexer, TokenKind, leading_keywords, names};
use crate::driver::{Dialect, DriverError};

/// Functions of PostgreSQL that change something outside of the transaction: sequences' positions, files, other sessions,
/// other servers, the log (<https://www.postgresql.org/docs/current/functions-admin.html>).
const FUNCTIONS: &[&str] = &[
    "dblink",
    "dblink_exec",
    "dblink_send_query",
    "lo_export",
    "pg_cancel_backend",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_create_restore_point",
    "pg_drop_replication_slot",
    "pg_file_rename",
    "pg_file_sync",
    "pg_file_unlink",
    "pg_file_write",
    "pg_logical_emit_message",
    "pg_logical_slot_get_binary_changes",
    "pg_logical_slot_get_changes",
    "pg_promote",
    "pg_reload_conf",
    "pg_replication_slot_advance",
    "pg_rotate_logfile",
    "pg_stat_reset",
    "pg_stat_reset_shared",
    "pg_stat_statements_reset",
    "pg_switch_wal",
    "pg_terminate_backend",
    "pg_wal_replay_pause",
    "pg_wal_replay_resume",
    "setval",
];

/// Refuses a statement whose own words say that a rollback would not undo it all. What functions and triggers do is not
/// looked at, and that sequences hand out numbers is taken for no harm.
///
/// # Errors
/// [`DriverError::Denied`], with what cannot be rolled back.
pub fn check_can_roll_back(sql: &str, dialect: Dialect) -> Result<(), DriverError> {
    if dialect != Dialect::Postgresql {
        // SQLite runs nothing in a transaction that reaches beyond the database.
        return Ok(());
    }
    let denied = |operation: &str, reason: &str| {
        Err(DriverError::Denied {
            operation: operation.to_owned(),
            object: String::new(),
            reason: format!("{reason}, which a dry run could not take back"),
        })
    };
    let words = leading_keywords(sql, dialect, 1);
    if words.first().is_some_and(|word| word == "COPY") && copies_outside(sql, dialect) {
        return denied("COPY", "it writes a file or runs a program");
    }
    for name in names(sql, dialect) {
        // What has no end is the server's to refuse.
        let Ok(name) = name else { return Ok(()) };
        if FUNCTIONS.contains(&&*name.text) && is_called(&sql[name.offset..], dialect) {
            return denied(&name.text, "it has effects outside of the transaction");
        }
    }
    Ok(())
}

/// Whether a COPY writes a file of the server's or runs a program.
fn copies_outside(sql: &str, dialect: Dialect) -> bool {
    let tokens: Vec<_> = Lexer::new(sql, dialect)
        .map_while(Result::ok)
        .filter(|token| token.kind != TokenKind::Comment)
        .collect();
    tokens.windows(2).any(|pair| {
        let is_file = pair[1].text.starts_with('\'') || pair[1].text.starts_with('$');
        let to = pair[0].is_word("to");
        (to && is_file) || (to || pair[0].is_word("from")) && pair[1].is_word("program")
    })
}

/// Whether a parenthesis follows the name at the start.
fn is_called(sql: &str, dialect: Dialect) -> bool {
    Lexer::new(sql, dialect)
        .map_while(Result::ok)
        .filter(|token| token.kind != TokenKind::Comment)
        .nth(1)
        .is_some_and(|token| token.kind == TokenKind::Open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_outlasts_a_rollback_is_refused() {
        for sql in [
            "SELECT setval('users_id_seq', 10)",
            "SELECT pg_catalog.\"setval\" /* , */ ('users_id_seq', 10)",
            "INSERT INTO t SELECT dblink_exec('host=elsewhere', 'DROP TABLE t')",
            "COPY users TO '/tmp/users'",
            "COPY (SELECT 1) TO PROGRAM 'mail'",
            "COPY users FROM PROGRAM 'curl'",
        ] {
            assert!(
                check_can_roll_back(sql, Dialect::Postgresql).is_err(),
                "{sql}"
            );
        }
    }

    #[test]
    fn what_a_rollback_undoes_is_not() {
        for sql in [
            "INSERT INTO users VALUES (nextval('users_id_seq'))",
            "UPDATE setval SET dblink = 'setval(1)'",
            "COPY users FROM '/tmp/users'",
            "ALTER SEQUENCE users_id_seq RESTART WITH 10",
            "SELECT 'never ends",
        ] {
            assert!(
                check_can_roll_back(sql, Dialect::Postgresql).is_ok(),
                "{sql}"
            );
        }
    }
}
