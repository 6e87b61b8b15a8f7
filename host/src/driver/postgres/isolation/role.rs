//! The role that guests log in as: how it is made, and that it is nothing more than it should be.

use tokio_postgres::types::Type;

use super::place::Place;
use crate::driver::postgres::session::PostgresSession;
use crate::driver::postgres::{quoted, text_literal};
use crate::driver::{DriverError, GuestRole};

/// What keeps a role from being used, each with what to do. `{role}` and `{schema}` are literals.
///
/// A role that may do something of its own could do it in a transaction of its own, which nobody audits: this is why
/// rights that everyone has to create objects count as well.
const PROBLEMS: &str = "
WITH guest AS (
    SELECT r.*, pg_catalog.format('%I', r.rolname) AS quoted FROM pg_catalog.pg_roles r WHERE r.rolname = {role}
), space AS (
    SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = {schema}
), own AS (
    SELECT p.* FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = (SELECT oid FROM space) AND p.proname = 'whimbrel_as_host'
), tables AS (
    SELECT c.* FROM pg_catalog.pg_class c
    WHERE c.relnamespace = (SELECT oid FROM space) AND c.relkind IN ('r', 'p')
      AND c.relname IN ('whimbrel_nonce', 'whimbrel_pending', 'whimbrel_ledger', 'whimbrel_lock', {versions})
)
SELECT 'there is no such role; make it with `whimbrel ensure-version --guest-role ' || {role} || '`' AS problem
WHERE NOT EXISTS (SELECT FROM guest)
UNION ALL
SELECT 'it has the attribute ' || more || '; take it back with `ALTER ROLE ' || quoted || ' NO' || more || '`'
FROM guest, LATERAL (VALUES (rolsuper, 'SUPERUSER'), (rolcreaterole, 'CREATEROLE'), (rolcreatedb, 'CREATEDB'),
    (rolbypassrls, 'BYPASSRLS'), (rolreplication, 'REPLICATION')) AS attributes (has, more) WHERE has
UNION ALL
SELECT 'it cannot log in; allow it with `ALTER ROLE ' || quoted || ' LOGIN`' FROM guest WHERE NOT rolcanlogin
UNION ALL
SELECT pg_catalog.format('it is a member of %1$s; end that with `REVOKE %1$I FROM %2$s`', o.rolname, quoted)
FROM guest g JOIN pg_catalog.pg_auth_members m ON m.member = g.oid JOIN pg_catalog.pg_roles o ON o.oid = m.roleid
UNION ALL
SELECT 'it has settings of its own; take them back with `ALTER ROLE ' || quoted || ' RESET ALL`, and with IN DATABASE'
FROM guest g WHERE EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s WHERE s.setrole = g.oid)
UNION ALL
SELECT pg_catalog.format('it %s %s; take it back, or everything with `DROP OWNED BY %s`',
    CASE d.deptype WHEN 'o' THEN 'owns' ELSE 'has rights of its own on' END,
    pg_catalog.pg_describe_object(d.classid, d.objid, 0), quoted)
FROM guest g JOIN pg_catalog.pg_shdepend d ON d.refobjid = g.oid AND d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
WHERE d.dbid IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
  AND NOT (d.deptype = 'a' AND (
      (d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid IN (SELECT oid FROM own))
      OR (d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = (SELECT oid FROM space))
      OR d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass))
UNION ALL
SELECT pg_catalog.format('%s may create objects in the schema %I; take that back with `REVOKE CREATE ON SCHEMA %2$I FROM %s`',
    CASE WHEN pg_catalog.has_schema_privilege('public', n.oid, 'CREATE') THEN 'everyone' ELSE 'it' END, n.nspname,
    CASE WHEN pg_catalog.has_schema_privilege('public', n.oid, 'CREATE') THEN 'PUBLIC' ELSE quoted END)
FROM guest g, pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_(temp|toast)' AND NOT g.rolsuper AND pg_catalog.has_schema_privilege(g.oid, n.oid, 'CREATE')
UNION ALL
SELECT pg_catalog.format('it may create schemas; take that back with `REVOKE CREATE ON DATABASE %I FROM %s, PUBLIC`',
    pg_catalog.current_database(), quoted)
FROM guest g WHERE NOT g.rolsuper AND pg_catalog.has_database_privilege(g.oid, pg_catalog.current_database(), 'CREATE')
UNION ALL
SELECT pg_catalog.format('it may use %1$s; take that back with `REVOKE ALL ON %1$s FROM PUBLIC`', t.oid::pg_catalog.regclass)
FROM guest g, tables t WHERE NOT g.rolsuper
  AND (pg_catalog.has_any_column_privilege(g.oid, t.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
       OR pg_catalog.has_table_privilege(g.oid, t.oid, 'DELETE, TRUNCATE, TRIGGER'))
UNION ALL
SELECT pg_catalog.format('%s belongs to %s, while this connection is %s''s; log in as its owner',
    t.oid::pg_catalog.regclass, pg_catalog.pg_get_userbyid(t.relowner), CURRENT_USER)
FROM tables t WHERE t.relname IN ('whimbrel_nonce', 'whimbrel_pending')
  AND t.relowner <> (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER)
UNION ALL
SELECT 'what isolation needs is missing or from another version; make it with `whimbrel ensure-version --guest-role ' || {role} || '`'
FROM guest WHERE NOT EXISTS (SELECT FROM own p
    WHERE p.prosrc = {body} AND p.prosecdef
      AND p.proconfig = ARRAY['search_path=pg_catalog, pg_temp', 'standard_conforming_strings=on']
      AND p.proowner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER)
      AND pg_catalog.has_function_privilege(guest.oid, p.oid, 'EXECUTE'))
  OR (SELECT pg_catalog.count(*) FROM own) <> 1
  OR (SELECT pg_catalog.count(*) FROM tables WHERE relname IN ('whimbrel_nonce', 'whimbrel_pending')) <> 2
  OR NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k JOIN tables t ON t.oid = k.conrelid AND k.confrelid = t.oid
      WHERE t.relname = 'whimbrel_pending' AND k.contype = 'f' AND k.condeferrable AND k.condeferred)
";

/// What everyone may do, and so every guest.
const NOTES: &str = "
SELECT pg_catalog.format('everyone may use %s, and so may every migration: `REVOKE ALL ON %1$s FROM PUBLIC` ends that',
    c.oid::pg_catalog.regclass)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  AND EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) a WHERE a.grantee = 0)
UNION ALL
SELECT pg_catalog.format('everyone may call %s, which runs with the rights of %s: `REVOKE EXECUTE ON FUNCTION %1$s FROM PUBLIC` ends that',
    p.oid::pg_catalog.regprocedure, pg_catalog.pg_get_userbyid(p.proowner))
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND p.prosecdef
  AND pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE')
";

/// The question what keeps the role from being used; each row is an answer.
pub(super) fn problems(role: &str, place: &Place) -> String {
    PROBLEMS
        .replace("{role}", &text_literal(role))
        .replace("{schema}", &text_literal(&place.schema))
        .replace("{versions}", &text_literal(&place.version_table))
        .replace("{body}", &text_literal(&place.body()))
}

/// What there is to say where nothing has been set up.
pub(super) fn missing(role: &str) -> Vec<String> {
    vec![format!(
        "this database has not been set up for it; do that with `whimbrel ensure-version --guest-role {role}`"
    )]
}

/// Says that a role cannot be used.
pub(super) fn unfit(role: &str, problems: &[String]) -> DriverError {
    DriverError::Settings {
        message: format!(
            "migrations cannot be isolated as the role {role}: {}",
            problems.join("; ")
        ),
    }
}

/// Makes the role where it is missing, and all that isolation needs; returns what the operator should know. The session
/// has begun a transaction, so that a role which is refused is not left half-made.
///
/// # Errors
/// [`DriverError::Settings`] when the role is more than a guest may be; a database error.
pub(super) async fn ensure(
    session: &mut PostgresSession,
    guest: &GuestRole,
    place: &Place,
) -> Result<Vec<String>, DriverError> {
    let (name, role) = (guest.name(), quoted(guest.name()));
    let known = session
        .ask(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)::pg_catalog.text, \
             (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER)::pg_catalog.text, \
             EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = pg_catalog.to_regrole(pg_catalog.quote_ident($1)) \
                 AND member = CURRENT_USER::pg_catalog.regrole)::pg_catalog.text, pg_catalog.current_setting('server_version_num')",
            &[(&name, Type::TEXT)],
        )
        .await?;
    let says = |at: usize| known.first().and_then(|row| row.get(at).cloned().flatten());
    let mut notes = Vec::new();
    if says(0).as_deref() != Some("true") {
        let password = match guest.password() {
            Some(password) => {
                let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
                format!(" PASSWORD {}", text_literal(&verifier))
            }
            None => {
                notes.push(format!(
                    "{name} has no password: the server must let it in without one, or give it one with `\\password {role}` \
                     in psql, for the password file"
                ));
                String::new()
            }
        };
        session
            .batch(&format!(
                "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS{password}"
            ))
            .await?;
    }
    // Only a member of the role can give it objects, and take them back.
    if says(1).as_deref() != Some("true") {
        let major = says(3).and_then(|number| number.parse::<u32>().ok());
        let with = match major {
            Some(160_000..) => " WITH INHERIT TRUE, SET TRUE",
            _ => "",
        };
        if says(2).as_deref() != Some("true") || !with.is_empty() {
            session
                .batch(&format!("GRANT {role} TO CURRENT_USER{with}"))
                .await?;
        }
    }
    session.batch(&place.definitions(&role)).await?;
    let found = texts(session.ask(&problems(name, place), &[]).await?);
    if !found.is_empty() {
        return Err(unfit(name, &found));
    }
    notes.extend(texts(session.ask(NOTES, &[]).await?));
    Ok(notes)
}

fn texts(rows: Vec<Vec<Option<String>>>) -> Vec<String> {
    rows.into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect()
}
