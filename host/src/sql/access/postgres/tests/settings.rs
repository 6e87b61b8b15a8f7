//! What a SQL file sets, where a grant holds it.

use super::{Changes, Subject, read_after};

#[test]
fn a_file_does_not_set_how_it_is_read_who_it_is_or_what_is_checked() {
    for sql in [
        "SET client_encoding = 'GBK'",
        "SET LOCAL client_encoding TO DEFAULT",
        "SET \"Client_Encoding\" = 'GBK'",
        "SET NAMES 'GBK'",
        "SET NAMES",
        "RESET client_encoding",
        "RESET ALL",
        "SET standard_conforming_strings = off",
        "SET backslash_quote = on",
        "SET array_nulls = off",
        "SET transform_null_equals = on",
        "SET session_replication_role = replica",
        "SET row_security = off",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION DEFAULT",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'",
        "SET track_counts = off",
        "SET local_preload_libraries = 'x'",
        "SET whimbrel.backfill = 'a'",
        "SET app.tenant = '1'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET client_encoding = 'GBK' AS 'SELECT 1'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET session_replication_role FROM CURRENT AS 'SELECT 1'",
        "ALTER FUNCTION slug(text) SET standard_conforming_strings = off",
        "ALTER ROLE CURRENT_USER SET client_encoding = 'GBK'",
        "ALTER DATABASE app SET session_replication_role = replica",
        "SELECT set_config('client_encoding', 'GBK', true)",
    ] {
        let read = read_after(sql, &Changes::default(), Subject::File);
        assert!(read.is_err(), "{sql}");
    }
}

#[test]
fn a_file_sets_what_changes_nothing_of_what_is_done() {
    for sql in [
        "SET search_path = app, public",
        "SET SCHEMA 'app'",
        "SET LOCAL lock_timeout = '2s'",
        "SET statement_timeout TO DEFAULT",
        "SET TIME ZONE 'UTC'",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET maintenance_work_mem = '1GB'",
        "SET enable_seqscan = off",
        "RESET work_mem",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = '' AS 'SELECT 1'",
        "ALTER FUNCTION slug(text) RESET ALL",
    ] {
        let read = read_after(sql, &Changes::default(), Subject::File);
        assert!(read.is_ok(), "{sql}: {read:?}");
    }
}
