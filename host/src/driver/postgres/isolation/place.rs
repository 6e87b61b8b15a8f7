//! Whimbrel's own objects that isolation stands on: two tables, and the one function that a guest's transaction reaches
//! the host through.

use crate::driver::postgres::quoted;

/// The body of the function. It runs commands of the host's in the transaction of whoever calls it, for a nonce that the
/// host has committed over its own connection. A nonce is good for one call.
const BODY: &str = "
#variable_conflict use_variable
DECLARE
    command text;
    touched bigint := 0;
BEGIN
    DELETE FROM {schema}.whimbrel_nonce AS known WHERE known.digest = sha256(nonce);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this function is called by Whimbrel alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOREACH command IN ARRAY commands LOOP
        EXECUTE command;
        GET DIAGNOSTICS touched = ROW_COUNT;
    END LOOP;
    RETURN touched;
END
";

/// Where Whimbrel's own objects are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The schema as it is named.
    pub(super) schema: String,
    /// The version table without its schema.
    pub(super) version_table: String,
}

impl Place {
    /// The function, as a call names it.
    pub(super) fn as_host(&self) -> String {
        format!("{}.whimbrel_as_host", quoted(&self.schema))
    }

    /// The table of nonces.
    pub(super) fn nonces(&self) -> String {
        format!("{}.whimbrel_nonce", quoted(&self.schema))
    }

    /// The table whose rows keep a transaction from being committed.
    pub(super) fn pending(&self) -> String {
        format!("{}.whimbrel_pending", quoted(&self.schema))
    }

    /// What the function does, as the server stores it.
    pub(super) fn body(&self) -> String {
        BODY.replace("{schema}", &quoted(&self.schema))
    }

    /// The statements that make what is missing and give the role its standing rights. `role` is quoted.
    pub(super) fn definitions(&self, role: &str) -> String {
        let (nonces, pending, as_host) = (self.nonces(), self.pending(), self.as_host());
        format!(
            "CREATE TABLE IF NOT EXISTS {nonces} (digest bytea PRIMARY KEY, \
                 made_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp());\n\
             CREATE TABLE IF NOT EXISTS {pending} (transaction text PRIMARY KEY, \
                 conclusion text NOT NULL REFERENCES {pending} (transaction) DEFERRABLE INITIALLY DEFERRED);\n\
             REVOKE ALL ON {nonces}, {pending} FROM PUBLIC;\n\
             CREATE OR REPLACE FUNCTION {as_host}(nonce bytea, commands text[]) RETURNS bigint \
                 LANGUAGE plpgsql SECURITY DEFINER \
                 SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on \
                 AS $whimbrel${body}$whimbrel$;\n\
             REVOKE ALL ON FUNCTION {as_host}(bytea, text[]) FROM PUBLIC;\n\
             {rights}",
            body = self.body(),
            rights = self.standing_rights(role),
        )
    }

    /// The rights that the role always has: to call the function, which does nothing without a nonce.
    pub(super) fn standing_rights(&self, role: &str) -> String {
        format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role};\n\
             GRANT EXECUTE ON FUNCTION {as_host}(bytea, text[]) TO {role}",
            schema = quoted(&self.schema),
            as_host = self.as_host(),
        )
    }
}
