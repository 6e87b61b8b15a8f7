//! One transaction of a guest's: how it is entered, and how it is concluded.

use std::sync::Arc;

use rand::random;
use sha2::{Digest, Sha256};
use tokio_postgres::types::{ToSql, Type};

use super::catalog::Catalog;
use super::findings::{Before, Belongings, DefaultRight, Findings};
use super::place::Place;
use super::rights::{HandedOver, rights};
use super::{Current, broken, role};
use crate::capability::{Access, Action, Grant};
use crate::driver::postgres::session::{PostgresSession, commit};
use crate::driver::postgres::{quoted, text_literal};
use crate::driver::{CommitError, DatabaseError, Dialect, DriverError, Statement};
use crate::sql::leading_keywords;

/// How many nonces are issued at once. A visit takes three: to come in, to let the guest's own checks run, and to conclude.
const NONCES: usize = 16;

/// The constraints whose check can be put off, and is not unless a transaction says so.
const IMMEDIATE: &str = "SELECT string_agg(format('%I.%I', n.nspname, c.conname), ', ') \
    FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.condeferrable AND NOT c.condeferred";

/// What the guest has set goes, and its temporary objects, listeners and locks with it.
const CLEAN: &str = "CLOSE ALL; RESET SESSION AUTHORIZATION; RESET ALL; UNLISTEN *; DISCARD TEMP; \
    SELECT pg_catalog.pg_advisory_unlock_all()";

/// For the questions to the catalog: to compile them, or to weigh the orders of their joins, takes longer than to answer them.
pub(super) const QUICK: &str =
    "SET LOCAL jit = off; SET LOCAL join_collapse_limit = 1; SET LOCAL from_collapse_limit = 1";

/// Takes [`QUICK`] back.
const AS_USUAL: &str = "RESET jit; RESET join_collapse_limit; RESET from_collapse_limit";

/// What the host knows, and a guest's transaction is made of.
pub(super) struct Ground {
    pub(super) place: Place,
    pub(super) current: Current,
    pub(super) role: String,
}

/// What a guest was given in its transaction.
pub(super) struct Entered {
    grant: Arc<Grant>,
    handed_over: Vec<HandedOver>,
    before: Before,
}

/// The nonces of one visit: to come in, to have the guest's own checks run, and to conclude.
pub(super) struct Nonces(Vec<[u8; 32]>);

impl Nonces {
    /// Commits the digests of new nonces over the host's connection, and looks whether the role is still what it should
    /// be, in one round trip.
    ///
    /// # Errors
    /// [`DriverError::Settings`] says what is wrong with the role; a database error.
    pub(super) async fn issue(
        host: &mut PostgresSession,
        ground: &Ground,
    ) -> Result<Self, DriverError> {
        let nonces: Vec<[u8; 32]> = (0..NONCES).map(|_| random()).collect();
        let digests: Vec<String> = nonces
            .iter()
            .map(|nonce| {
                let digest = Sha256::digest(nonce);
                let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("(pg_catalog.decode('{digits}', 'hex'))")
            })
            .collect();
        // A nonce is of no use after the run that made it; those of runs that were killed go after a week.
        let problems = host
            .simple(&format!(
                "SET LOCAL synchronous_commit = off; {QUICK}; \
                 DELETE FROM {table} WHERE made_at < pg_catalog.clock_timestamp() - '7 days'::pg_catalog.interval; \
                 INSERT INTO {table} (digest) VALUES {digests}; {problems}",
                table = ground.place.nonces(),
                digests = digests.join(", "),
                problems = role::problems(&ground.role, &ground.place),
            ))
            .await;
        let problems: Vec<String> = match problems {
            Ok(rows) => rows.into_iter().flatten().flatten().collect(),
            Err(error) if error.is_undefined_table() => role::missing(&ground.role),
            Err(error) => return Err(error),
        };
        if !problems.is_empty() {
            return Err(role::unfit(&ground.role, &problems));
        }
        Ok(Self(nonces))
    }

    /// Whether none is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self) -> Result<[u8; 32], DriverError> {
        self.0
            .pop()
            .ok_or_else(|| broken("the migration was concluded before"))
    }
}

impl Ground {
    /// Has the host's commands run in the guest's transaction. The nonce is a parameter: a text would be seen by whoever
    /// reads `pg_stat_activity`.
    pub(super) async fn as_host(
        &self,
        guest: &mut PostgresSession,
        nonces: &mut Nonces,
        commands: &[String],
    ) -> Result<u64, DriverError> {
        let nonce = nonces.take()?;
        let sql = format!("SELECT {}($1, $2)::pg_catalog.text", self.place.as_host());
        let params: [(&(dyn ToSql + Sync), Type); 2] = [
            (&nonce.as_slice(), Type::BYTEA),
            (&commands, Type::TEXT_ARRAY),
        ];
        let rows = guest.ask(&sql, &params).await?;
        let touched = rows.into_iter().flatten().flatten().next();
        Ok(touched
            .and_then(|touched| touched.parse().ok())
            .unwrap_or_default())
    }

    /// Runs one statement of the host's, with the host's names; returns the number of rows touched.
    ///
    /// # Errors
    /// A database error; [`DriverError::Denied`] for what would only hold for as long as this call.
    pub(super) async fn run(
        &self,
        guest: &mut PostgresSession,
        nonces: &mut Nonces,
        claim: Option<&str>,
        sql: &str,
    ) -> Result<u64, DriverError> {
        let words = leading_keywords(sql, Dialect::Postgresql, 1);
        let sets = matches!(words.first().map(String::as_str), Some("SET" | "RESET"));
        if sets && sql.to_ascii_lowercase().contains("search_path") {
            return Err(DriverError::Denied {
                operation: "SET search_path".to_owned(),
                object: String::new(),
                reason: "with isolation = \"role\" and one transaction for all, it would not last; write schemas before \
                         names"
                    .to_owned(),
            });
        }
        let mut commands = self.claiming(claim);
        commands.push(format!("SET LOCAL search_path = {}", self.path()));
        commands.push(sql.to_owned());
        self.as_host(guest, nonces, &commands).await
    }

    /// The commands that lock the table which the transaction is going to write.
    fn claiming(&self, claim: Option<&str>) -> Vec<String> {
        let Some(table) = claim else {
            return Vec::new();
        };
        vec![
            self.own_tables(),
            format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE"),
        ]
    }

    /// The schemas that the host's names are looked for in.
    fn path(&self) -> String {
        let names: Vec<String> = self.current.path.iter().map(|name| quoted(name)).collect();
        names.join(", ")
    }

    /// Has the engine's tables found where they are, for the rest of a call.
    fn own_tables(&self) -> String {
        let schema = quoted(&self.place.schema);
        format!("SET LOCAL search_path = pg_catalog, {schema}, pg_temp")
    }

    fn quoted_role(&self) -> String {
        quoted(&self.role)
    }

    fn schema(&self) -> &str {
        self.current.schema.as_deref().unwrap_or("public")
    }

    /// Looks for what a grant speaks of, as a session sees it.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn look(
        &self,
        session: &mut PostgresSession,
        grant: &Grant,
    ) -> Result<Catalog, DriverError> {
        Catalog::read(session, grant, &self.place, self.schema()).await
    }

    /// Gives the guest what its grant names. `claim` is the table that the transaction is going to write, where it is one.
    ///
    /// # Errors
    /// A database error: the host may not give what is granted, or something else has a lock on it.
    pub(super) async fn enter(
        &self,
        guest: &mut PostgresSession,
        nonces: &mut Nonces,
        grant: &Arc<Grant>,
        catalog: Catalog,
        claim: Option<&str>,
    ) -> Result<Entered, DriverError> {
        let role = self.quoted_role();
        let given = rights(
            grant,
            &catalog,
            self.schema(),
            &self.current.database,
            &role,
        );
        let tables: Vec<u32> = given
            .handed_over
            .iter()
            .filter(|object| object.catalog == "pg_class")
            .map(|object| object.oid)
            .collect();
        let mut commands = vec![format!(
            "INSERT INTO {} VALUES (pg_current_xact_id()::text, 'not concluded')",
            self.place.pending()
        )];
        commands.extend(self.claiming(claim));
        commands.extend(given.commands);
        commands.push(QUICK.to_owned());
        self.as_host(guest, nonces, &commands).await?;
        // Nobody changes them any more.
        let belongings = Belongings::of(guest, &tables).await?;
        // Policies would leave rows out without a word; so a statement that they would change fails.
        guest
            .batch(&format!(
                "{AS_USUAL}; SET LOCAL search_path = {}; SET LOCAL row_security = off",
                self.path()
            ))
            .await?;
        Ok(Entered {
            grant: Arc::clone(grant),
            before: Before {
                casts: catalog.casts,
                belongings,
                handed_over: given.handed_over.iter().map(|object| object.oid).collect(),
            },
            handed_over: given.handed_over,
        })
    }

    /// Ends a guest's part of its transaction: what it left is looked at, what it was given is taken back, what it made
    /// is the host's, and the records are written. The transaction can be committed then, and goes on otherwise.
    ///
    /// # Errors
    /// A [`CommitError`]: of what the grant does not cover, of a transaction that is not the one that was entered, or of
    /// the records.
    pub(super) async fn conclude(
        &self,
        guest: &mut PostgresSession,
        nonces: &mut Nonces,
        entered: Entered,
        records: &[Statement],
        how: Ending,
    ) -> Result<(), CommitError> {
        let lift = format!(
            "DO $$ BEGIN DELETE FROM {} WHERE transaction = pg_current_xact_id()::text; \
             IF NOT FOUND THEN RAISE EXCEPTION 'the migration has ended its transaction, which is Whimbrel''s to end' \
             USING ERRCODE = 'invalid_transaction_state'; END IF; END $$",
            self.place.pending()
        );
        let wrong = CommitError::Commit;
        self.as_host(guest, nonces, &[lift]).await.map_err(wrong)?;
        // Triggers that were put off run here, as the guest that caused them: all of them, also those that others put off
        // meanwhile. The host's own come later.
        let checks = match how {
            Ending::Commit => "SET CONSTRAINTS ALL IMMEDIATE",
            Ending::GoOn => "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED",
        };
        guest
            .batch(&format!(
                "SET LOCAL search_path = {}; {checks}; {CLEAN}; {QUICK}",
                self.path()
            ))
            .await
            .map_err(wrong)?;
        let findings = Findings::read(guest, &self.role, &self.current.user)
            .await
            .map_err(wrong)?;
        let after = Belongings::of(guest, &findings.tables(&entered.before))
            .await
            .map_err(wrong)?;
        findings
            .judge(&entered.grant, self.schema(), &entered.before, &after)
            .map_err(wrong)?;
        let mut commands = self.take_back(&entered, &findings);
        if !records.is_empty() {
            commands.push(self.own_tables());
            commands.push(commit::filled(records).map_err(CommitError::Record)?);
        }
        self.as_host(guest, nonces, &commands)
            .await
            .map(drop)
            .map_err(|error| match is_conflict(&error) {
                true => CommitError::Conflict,
                false => CommitError::Record(error),
            })?;
        match how {
            Ending::Commit => Ok(()),
            Ending::GoOn => self.go_on(guest).await.map_err(wrong),
        }
    }

    /// Has a transaction go on as it began.
    async fn go_on(&self, guest: &mut PostgresSession) -> Result<(), DriverError> {
        let immediate = guest.ask(IMMEDIATE, &[]).await?;
        let mut commands = format!("{AS_USUAL}; {}", guest.settings_again());
        if let Some(names) = immediate.into_iter().flatten().flatten().next() {
            commands.push_str(&format!("; SET CONSTRAINTS {names} IMMEDIATE"));
        }
        guest.batch(&commands).await
    }

    /// Writes records in a transaction in which nobody is a guest any more.
    ///
    /// # Errors
    /// A [`CommitError`].
    pub(super) async fn record(
        &self,
        guest: &mut PostgresSession,
        nonces: &mut Nonces,
        records: &[Statement],
    ) -> Result<(), CommitError> {
        let mut commands = Vec::new();
        // Triggers that a SQL file's statements put off run in the host's name, as those statements did.
        let constraints = guest
            .constraints_to_check()
            .await
            .map_err(CommitError::Commit)?;
        if !constraints.is_empty() {
            commands.push(constraints);
        }
        if !records.is_empty() {
            commands.push(self.own_tables());
            commands.push(commit::filled(records).map_err(CommitError::Record)?);
        }
        if commands.is_empty() {
            return Ok(());
        }
        self.as_host(guest, nonces, &commands)
            .await
            .map(drop)
            .map_err(|error| match is_conflict(&error) {
                true => CommitError::Conflict,
                false => CommitError::Record(error),
            })
    }

    /// The commands after which the guest has nothing but what it always has.
    fn take_back(&self, entered: &Entered, findings: &Findings) -> Vec<String> {
        let role = self.quoted_role();
        let mut commands = Vec::new();
        for object in &entered.handed_over {
            commands.push(self.give_back(object, entered));
        }
        commands.push(format!("REASSIGN OWNED BY {role} TO CURRENT_USER"));
        commands.extend(self.defaults(findings));
        commands.push(format!("DROP OWNED BY {role}"));
        commands.push(self.place.standing_rights(&role));
        commands
    }

    /// Gives an object back to its owner, under the name that it has now, and makes sure that others may what they could.
    fn give_back(&self, object: &HandedOver, entered: &Entered) -> String {
        let HandedOver {
            keyword,
            catalog,
            oid,
            name,
            owner,
            acl,
            ..
        } = object;
        let may_give = entered
            .grant
            .check(&Access::new(Action::Grant, name.clone()), self.schema())
            .is_ok();
        let acl_now = match *catalog {
            "pg_class" => Some(format!(
                "(SELECT array_remove(c.relacl::text || ARRAY(SELECT a.attnum || a.attacl::text FROM pg_attribute a \
                 WHERE a.attrelid = c.oid), NULL) FROM pg_class c WHERE c.oid = {oid})"
            )),
            "pg_proc" => Some(format!(
                "(SELECT array_remove(ARRAY[proacl::text], NULL) FROM pg_proc WHERE oid = {oid})"
            )),
            "pg_type" => Some(format!(
                "(SELECT array_remove(ARRAY[typacl::text], NULL) FROM pg_type WHERE oid = {oid})"
            )),
            "pg_namespace" => Some(format!(
                "(SELECT array_remove(ARRAY[nspacl::text], NULL) FROM pg_namespace WHERE oid = {oid})"
            )),
            _ => None,
        };
        let check = match acl_now {
            Some(now) if !may_give => {
                let was: Vec<String> = acl.iter().map(|one| text_literal(one)).collect();
                format!(
                    "IF NOT {now} <@ ARRAY[{was}]::text[] THEN \
                     RAISE EXCEPTION 'the migration has changed who may use %, and `grant on` is not granted there', now \
                     USING ERRCODE = 'insufficient_privilege'; END IF; ",
                    was = was.join(", ")
                )
            }
            _ => String::new(),
        };
        format!(
            "DO $whimbrel_give$ DECLARE now text; BEGIN \
             SELECT identity INTO now FROM {catalog} o, pg_identify_object('{catalog}'::regclass, o.oid, 0) WHERE o.oid = {oid}; \
             IF now IS NOT NULL THEN \
             EXECUTE format('ALTER {keyword} %s OWNER TO %I', now, {owner}); {check}END IF; END $whimbrel_give$",
            owner = text_literal(owner),
        )
    }

    /// What others may do with objects that the host makes, they may do with these.
    fn defaults(&self, findings: &Findings) -> Vec<String> {
        let mut commands = Vec::new();
        for made in &findings.made {
            let (kind, keyword) = match (made.catalog.as_str(), made.kind.as_str()) {
                ("pg_class", "S") => ("S", "SEQUENCE"),
                ("pg_class", "r" | "p" | "v" | "m") => ("r", "TABLE"),
                ("pg_proc", _) => ("f", "ROUTINE"),
                ("pg_type", _) => ("T", "TYPE"),
                ("pg_namespace", _) => ("n", "SCHEMA"),
                _ => continue,
            };
            let fits = |right: &&DefaultRight| {
                right.kind == kind && (right.schema.is_none() || right.schema == made.schema)
            };
            for right in findings.defaults.iter().filter(fits) {
                let option = match right.is_grantable {
                    true => " WITH GRANT OPTION",
                    false => "",
                };
                commands.push(format!(
                    "DO $whimbrel_default$ BEGIN EXECUTE format('GRANT {privilege} ON {keyword} %s TO {grantee}{option}', \
                     (SELECT identity FROM pg_identify_object('{catalog}'::regclass, {oid}, 0))); END $whimbrel_default$",
                    privilege = right.privilege,
                    grantee = right.grantee.replace('\'', "''").replace('%', "%%"),
                    catalog = made.catalog,
                    oid = made.oid,
                ));
            }
        }
        commands
    }
}

/// What comes after a guest's part of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The commit.
    Commit,
    /// The part of the next migration.
    GoOn,
}

fn is_conflict(error: &DriverError) -> bool {
    let report: Option<&DatabaseError> = error.database();
    report.is_some_and(|report| report.sqlstate.as_deref() == Some("22012"))
}
