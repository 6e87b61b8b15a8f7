//! What a guest has made of the database in its transaction, as the catalog tells it.

use std::collections::BTreeSet;

use serde::Deserialize;
use tokio_postgres::types::Type;

use crate::capability::{Access, Action, Code, Grant, Kind, Name, NotGranted};
use crate::driver::DriverError;
use crate::driver::postgres::session::PostgresSession;

/// What belongs to tables and is code, or depends on them. `$1` are the tables.
///
/// Functions that an expression may call without being code: those of the system that cannot do more than tell something.
const INVENTORY: &str = "
WITH called AS (
    SELECT t.oid AS whole, e.expression FROM unnest($1) AS t (oid) CROSS JOIN LATERAL (
        SELECT adbin::text FROM pg_attrdef WHERE adrelid = t.oid
        UNION ALL SELECT conbin::text FROM pg_constraint WHERE conrelid = t.oid AND conbin IS NOT NULL
        UNION ALL SELECT concat(indexprs::text, ' ', indpred::text) FROM pg_index WHERE indrelid = t.oid
        UNION ALL SELECT partexprs::text FROM pg_partitioned_table WHERE partrelid = t.oid) AS e (expression)
), functions AS (
    SELECT c.whole, (m.found)[1]::oid AS oid
    FROM called c, LATERAL regexp_matches(c.expression, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') AS m (found)
    UNION
    SELECT c.whole, o.oprcode::oid
    FROM called c, LATERAL regexp_matches(c.expression, ':opno (\\d+)', 'g') AS m (found)
    JOIN pg_operator o ON o.oid = (m.found)[1]::oid
), risky AS (
    SELECT f.whole, p.oid::regprocedure::text AS name FROM functions f JOIN pg_proc p ON p.oid = f.oid
    WHERE p.pronamespace <> 'pg_catalog'::regnamespace
       OR (p.provolatile = 's' AND p.proname ~ '_to_xml|xmlschema')
       OR (p.provolatile = 'v' AND p.proname NOT IN ('nextval', 'currval', 'lastval', 'random', 'clock_timestamp', 'timeofday',
               'gen_random_uuid', 'uuidv4', 'uuidv7'))
)
SELECT coalesce(json_agg(json_build_object(
    'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
    'triggers', ARRAY(SELECT concat_ws(' ', t.tgname, t.tgfoid, t.tgtype, t.tgenabled, md5(t.tgqual::text), t.tgnargs, encode(t.tgargs, 'hex'))
        FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal ORDER BY 1),
    'rules', ARRAY(SELECT concat_ws(' ', r.rulename, r.ev_type, r.ev_enabled, md5(r.ev_action::text), md5(r.ev_qual::text))
        FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN' ORDER BY 1),
    'body', (SELECT md5(r.ev_action::text) FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename = '_RETURN'),
    'policies', ARRAY(SELECT concat_ws(' ', p.polname, p.polcmd, p.polpermissive, p.polroles::text, md5(p.polqual::text),
            md5(p.polwithcheck::text))
        FROM pg_policy p WHERE p.polrelid = c.oid
        UNION ALL SELECT concat_ws(' ', c.relrowsecurity, c.relforcerowsecurity) ORDER BY 1),
    'calls', ARRAY(SELECT DISTINCT r.name FROM risky r WHERE r.whole = c.oid ORDER BY 1),
    'dependents', ARRAY(
        SELECT format('%s the view %s', v.oid, v.oid::regclass) FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        JOIN pg_class v ON v.oid = r.ev_class
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND r.ev_class <> c.oid
        UNION SELECT format('%s the foreign key %I of %s', k.conrelid, k.conname, k.conrelid::regclass)
        FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = c.oid AND k.conrelid <> c.oid AND k.conparentid = 0 ORDER BY 1)
)), '[]')::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
";

/// What the role owns now, what it has no business to have done, and what of it no grant covers. `$1` is the role, `$2` who
/// owned it all before.
const MADE: &str = "
WITH guest AS (
    SELECT oid FROM pg_roles WHERE rolname = $1
), made AS (
    SELECT d.classid, d.objid FROM pg_shdepend d, guest g
    WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = g.oid AND d.deptype = 'o'
      AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = d.classid AND i.objid = d.objid AND i.deptype IN ('i', 'e'))
      AND NOT EXISTS (SELECT FROM pg_depend i JOIN pg_class s ON s.oid = i.objid AND s.relkind = 'S'
          WHERE i.classid = 'pg_class'::regclass AND d.classid = i.classid AND i.objid = d.objid AND i.deptype = 'a')
)
SELECT json_build_object(
    'made', (SELECT coalesce(json_agg(json_build_object(
        'catalog', m.classid::regclass::text, 'oid', m.objid::bigint, 'kind', coalesce(c.relkind::text, ''),
        'schema', (SELECT n.nspname FROM pg_namespace n WHERE n.oid
            = coalesce(c.relnamespace, p.pronamespace, t.typnamespace, l.collnamespace, e.stxnamespace, o.oprnamespace)),
        'name', coalesce(c.relname, p.proname, t.typname, l.collname, e.stxname, o.oprname, s.nspname, x.extname),
        'description', pg_describe_object(m.classid, m.objid, 0),
        'has_given', coalesce(c.relacl, p.proacl, t.typacl, s.nspacl) IS NOT NULL OR EXISTS (
            SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL),
        'unreadable', ARRAY(SELECT DISTINCT d.refobjid::regclass::text
            FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
            JOIN pg_class b ON b.oid = d.refobjid AND b.relkind <> 'S'
            WHERE c.relkind IN ('v', 'm') AND r.ev_class = c.oid AND NOT CASE WHEN d.refobjsubid > 0
                THEN has_column_privilege($1, d.refobjid, d.refobjsubid::smallint, 'SELECT')
                ELSE has_any_column_privilege($1, d.refobjid, 'SELECT') END)
        ) ORDER BY m.classid, m.objid), '[]')
        FROM made m
        LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
        LEFT JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
        LEFT JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
        LEFT JOIN pg_collation l ON m.classid = 'pg_collation'::regclass AND l.oid = m.objid
        LEFT JOIN pg_statistic_ext e ON m.classid = 'pg_statistic_ext'::regclass AND e.oid = m.objid
        LEFT JOIN pg_operator o ON m.classid = 'pg_operator'::regclass AND o.oid = m.objid
        LEFT JOIN pg_namespace s ON m.classid = 'pg_namespace'::regclass AND s.oid = m.objid
        LEFT JOIN pg_extension x ON m.classid = 'pg_extension'::regclass AND x.oid = m.objid),
    'casts', (SELECT coalesce(json_agg(json_build_object('oid', k.oid::bigint, 'source', format_type(k.castsource, NULL)) ORDER BY k.oid), '[]')
        FROM pg_cast k WHERE k.oid >= 16384),
    'role_was_altered', EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted
        AND l.mode = 'RowExclusiveLock' AND l.relation IN ('pg_authid'::regclass, 'pg_db_role_setting'::regclass, 'pg_auth_members'::regclass)),
    'defaults', (SELECT coalesce(json_agg(json_build_object('kind', a.defaclobjtype, 'schema', n.nspname,
        'privilege', x.privilege_type, 'grantee', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
        'is_grantable', x.is_grantable)), '[]')
        FROM pg_default_acl a LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace, LATERAL aclexplode(a.defaclacl) x
        WHERE a.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = $2) AND x.grantee <> a.defaclrole)
)::text
";

/// A table, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Belongings {
    pub(super) oid: u32,
    schema: String,
    name: String,
    kind: String,
    /// What a view says.
    body: Option<String>,
    triggers: BTreeSet<String>,
    rules: BTreeSet<String>,
    policies: BTreeSet<String>,
    calls: BTreeSet<String>,
    dependents: BTreeSet<String>,
}

impl Belongings {
    /// What belongs to some tables.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn of(
        session: &mut PostgresSession,
        tables: &[u32],
    ) -> Result<Vec<Self>, DriverError> {
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        super::parse(
            session
                .ask(INVENTORY, &[(&tables, Type::OID_ARRAY)])
                .await?,
        )
    }
}

/// What the catalog says of the guest.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Findings {
    pub(super) made: Vec<Made>,
    casts: Vec<Cast>,
    role_was_altered: bool,
    pub(super) defaults: Vec<DefaultRight>,
}

/// An object that the guest owns.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Made {
    pub(super) catalog: String,
    pub(super) oid: u32,
    pub(super) kind: String,
    pub(super) schema: Option<String>,
    name: Option<String>,
    description: String,
    has_given: bool,
    unreadable: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Cast {
    oid: u32,
    source: String,
}

/// A right that new objects of the host's give to others.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct DefaultRight {
    pub(super) kind: String,
    pub(super) schema: Option<String>,
    pub(super) privilege: String,
    pub(super) grantee: String,
    pub(super) is_grantable: bool,
}

/// What was there when the guest came in.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    pub(super) casts: Vec<u32>,
    pub(super) belongings: Vec<Belongings>,
    /// The objects that were handed over.
    pub(super) handed_over: BTreeSet<u32>,
}

impl Before {
    /// Whether a view says what it said before.
    fn has_as(&self, oid: u32, after: &[Belongings]) -> bool {
        let body = |all: &[Belongings]| {
            all.iter()
                .find(|one| one.oid == oid)
                .map(|one| one.body.clone())
        };
        let was = body(&self.belongings);
        was.is_some() && was == body(after)
    }

    /// Holds that what is gone had been handed over itself. Each text begins with the number of its relation.
    fn spares<'a>(&self, gone: impl Iterator<Item = &'a String>) -> Result<(), DriverError> {
        for one in gone {
            let (oid, what) = one.split_once(' ').unwrap_or((one, one));
            let is_handed_over = oid.parse().is_ok_and(|oid| self.handed_over.contains(&oid));
            if !is_handed_over {
                return Err(denied("CASCADE", &format!("{what} would go as well")));
            }
        }
        Ok(())
    }
}

impl Findings {
    /// Reads them, as the guest: what it may not read is a part of the answer.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn read(
        session: &mut PostgresSession,
        role: &str,
        host: &str,
    ) -> Result<Self, DriverError> {
        let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&role, Type::NAME), (&host, Type::NAME)];
        super::parse(session.ask(MADE, &params).await?)
    }

    /// The tables whose belongings are to be looked at.
    pub(super) fn tables(&self, before: &Before) -> Vec<u32> {
        let own = self.made.iter().filter(|made| made.catalog == "pg_class");
        let mut tables: Vec<u32> = own.map(|made| made.oid).collect();
        tables.extend(before.belongings.iter().map(|one| one.oid));
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// Holds what the guest has done against its grant.
    ///
    /// # Errors
    /// [`DriverError::NotGranted`] for the first thing that the grant does not cover; [`DriverError::Denied`] for what
    /// none can.
    pub(super) fn judge(
        &self,
        grant: &Grant,
        default_schema: &str,
        before: &Before,
        after: &[Belongings],
    ) -> Result<(), DriverError> {
        let check = |action: Action, name: Name| -> Result<(), Box<NotGranted>> {
            grant.check(&Access::new(action, name), default_schema)
        };
        if self.role_was_altered {
            return Err(denied("ALTER ROLE", "the role is the host's"));
        }
        for made in &self.made {
            let is_as_it_was = before.has_as(made.oid, after);
            if !is_as_it_was && let Some(table) = made.unreadable.first() {
                return Err(denied(
                    "a view",
                    &format!(
                        "{} reads {table}, which the migration may not",
                        made.description
                    ),
                ));
            }
            if before.handed_over.contains(&made.oid) {
                continue;
            }
            let Some(action) = made.action() else {
                return Err(denied(
                    "what it made",
                    &format!("a migration cannot leave {}", made.description),
                ));
            };
            if made.is_reserved() {
                return Err(denied(
                    "what it made",
                    &format!("{} has a name of Whimbrel's own", made.description),
                ));
            }
            check(action, made.as_name())?;
            if made.has_given {
                check(Action::Grant, made.as_name())?;
            }
        }
        for cast in &self.casts {
            if !before.casts.contains(&cast.oid) {
                check(Action::Code(Code::Cast), type_name(&cast.source))?;
            }
        }
        let known = self
            .casts
            .iter()
            .map(|cast| cast.oid)
            .collect::<BTreeSet<_>>();
        if before.casts.iter().any(|oid| !known.contains(oid)) {
            return Err(denied(
                "DROP CAST",
                "a migration can only drop casts of its own",
            ));
        }
        self.judge_tables(&check, before, after)
    }

    fn judge_tables(
        &self,
        check: &dyn Fn(Action, Name) -> Result<(), Box<NotGranted>>,
        before: &Before,
        after: &[Belongings],
    ) -> Result<(), DriverError> {
        let none = BTreeSet::new();
        for now in after {
            let was = before.belongings.iter().find(|was| was.oid == now.oid);
            let name = || Name::new(&*now.schema, &*now.name);
            if now.name.starts_with("whimbrel_") {
                return Err(denied(
                    "ALTER TABLE … RENAME",
                    &format!("{} is a name of Whimbrel's own", now.name),
                ));
            }
            let may = |code: Code| check(Action::Code(code), name());
            if now.triggers != *was.map_or(&none, |was| &was.triggers) {
                may(Code::Trigger)?;
            }
            if now.rules != *was.map_or(&none, |was| &was.rules) {
                may(Code::Rule)?;
            }
            let had_policies = match was {
                Some(was) => now.policies != was.policies,
                None => now.policies.len() > 1,
            };
            if had_policies {
                may(Code::Policy)?;
            }
            if !now.calls.is_subset(was.map_or(&none, |was| &was.calls)) {
                may(Code::Default)?;
            }
        }
        for was in &before.belongings {
            let name = Name::new(&*was.schema, &*was.name);
            let Some(now) = after.iter().find(|now| now.oid == was.oid) else {
                let action = match was.kind.as_str() {
                    "v" | "m" => Action::Code(Code::View),
                    _ => Action::Drop(Kind::Table),
                };
                check(action, name)?;
                before.spares(was.dependents.iter())?;
                continue;
            };
            before.spares(was.dependents.difference(&now.dependents))?;
        }
        Ok(())
    }
}

impl Made {
    /// What making it is; none for what no grant covers.
    fn action(&self) -> Option<Action> {
        Some(match (self.catalog.as_str(), self.kind.as_str()) {
            ("pg_class", "r" | "p") => Action::Create(Kind::Table),
            ("pg_class", "v" | "m") => Action::Code(Code::View),
            ("pg_class", "S") => Action::Create(Kind::Sequence),
            ("pg_class", "c") | ("pg_type", _) => Action::Create(Kind::Type),
            ("pg_proc", _) => Action::Code(Code::Function),
            ("pg_namespace", _) => Action::Create(Kind::Schema),
            ("pg_collation", _) => Action::Create(Kind::Collation),
            ("pg_statistic_ext", _) => Action::Create(Kind::Statistics),
            ("pg_operator", _) => Action::Code(Code::Operator),
            ("pg_extension", _) => Action::Extension,
            _ => return None,
        })
    }

    fn is_reserved(&self) -> bool {
        let name = self.name.as_deref().unwrap_or_default();
        name.starts_with("whimbrel_")
    }

    fn as_name(&self) -> Name {
        Name {
            schema: self.schema.clone(),
            name: self.name.clone().unwrap_or_default(),
        }
    }
}

fn type_name(text: &str) -> Name {
    match text.split_once('.') {
        Some((schema, name)) => Name::new(schema.trim_matches('"'), name.trim_matches('"')),
        None => Name::bare(text),
    }
}

fn denied(operation: &str, reason: &str) -> DriverError {
    DriverError::Denied {
        operation: operation.to_owned(),
        object: String::new(),
        reason: reason.to_owned(),
    }
}
