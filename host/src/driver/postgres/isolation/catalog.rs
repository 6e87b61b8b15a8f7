//! What a database has that a grant may speak of.

use serde::Deserialize;

use super::guest::QUICK;
use super::place::Place;
use crate::capability::{Capabilities, Grant, Name, Reach};
use crate::driver::DriverError;
use crate::driver::postgres::session::PostgresSession;
use crate::driver::postgres::text_literal;

/// The objects that the patterns `{schemas}` and `{names}` speak of, without those of the system and Whimbrel's own; and the
/// schemas, each with whether `{targets}` has a pattern of it. `{space}` and `{versions}` are the version table.
const CATALOG: &str = "
SET LOCAL search_path = pg_catalog, pg_temp; {quick};
WITH wanted AS (
    SELECT * FROM unnest({schemas}, {names}) AS wanted (space, name)
), spaces AS (
    SELECT n.oid, n.nspname::text AS name, n.nspowner AS owner, n.nspacl::text AS acl FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), objects AS (
    SELECT 'relation' AS class, c.relkind::text AS kind, c.oid, s.name AS schema, c.relname::text AS name, c.relowner AS owner,
           format('%I.%I', s.name, c.relname) AS identity, coalesce(i.indrelid, c.oid) AS whole, NULL::text AS acl
    FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I') AND c.relname NOT LIKE 'whimbrel\\_%'
      AND NOT (s.name = {space} AND c.relname = {versions})
      AND NOT (i.indrelid IS NOT NULL AND EXISTS (SELECT FROM pg_class t WHERE t.oid = i.indrelid
          AND (t.relname LIKE 'whimbrel\\_%' OR (s.name = {space} AND t.relname = {versions}))))
    UNION ALL
    SELECT 'function', p.prokind::text, p.oid, s.name, p.proname::text, p.proowner,
           format('%I.%I(%s)', s.name, p.proname, pg_get_function_identity_arguments(p.oid)), NULL, p.proacl::text
    FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace WHERE p.proname NOT LIKE 'whimbrel\\_%'
    UNION ALL
    SELECT 'type', t.typtype::text, t.oid, s.name, t.typname::text, t.typowner, format('%I.%I', s.name, t.typname), NULL, t.typacl::text
    FROM pg_type t JOIN spaces s ON s.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')
    UNION ALL
    SELECT 'statistics', '', e.oid, s.name, e.stxname::text, e.stxowner, format('%I.%I', s.name, e.stxname), NULL, NULL
    FROM pg_statistic_ext e JOIN spaces s ON s.oid = e.stxnamespace
    UNION ALL
    SELECT 'collation', '', l.oid, s.name, l.collname::text, l.collowner, format('%I.%I', s.name, l.collname), NULL, NULL
    FROM pg_collation l JOIN spaces s ON s.oid = l.collnamespace
), found AS (
    SELECT * FROM objects o WHERE EXISTS (SELECT FROM wanted w WHERE o.schema LIKE w.space AND o.name LIKE w.name)
)
SELECT json_build_object(
    'schemas', (SELECT coalesce(json_agg(json_build_object(
        'oid', s.oid::bigint, 'name', s.name, 'owner', pg_get_userbyid(s.owner), 'acl', to_json(array_remove(ARRAY[s.acl], NULL)),
        'is_target', EXISTS (SELECT FROM unnest({targets}) AS target WHERE s.name LIKE target))), '[]') FROM spaces s),
    'casts', (SELECT coalesce(json_agg(k.oid::bigint ORDER BY k.oid), '[]') FROM pg_cast k WHERE k.oid >= 16384),
    'objects', (SELECT coalesce(json_agg(json_build_object(
        'class', o.class, 'kind', o.kind, 'oid', o.oid::bigint, 'schema', o.schema, 'name', o.name, 'identity', o.identity,
        'owner', pg_get_userbyid(o.owner), 'acl', to_json(array_remove(ARRAY[o.acl], NULL)),
        'is_linked', EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND (d.deptype = 'e'
            OR (o.kind = 'S' AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass))),
        'columns', CASE WHEN o.class = 'relation' THEN (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
            WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped) END,
        'sequences', CASE WHEN o.class = 'relation' THEN (
            SELECT json_agg(DISTINCT format('%I.%I', sn.nspname, sc.relname))
            FROM pg_attrdef f JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
                 AND d.refclassid = 'pg_class'::regclass
            JOIN pg_class sc ON sc.oid = d.refobjid AND sc.relkind = 'S' JOIN pg_namespace sn ON sn.oid = sc.relnamespace
            WHERE f.adrelid = o.oid) END,
        'family', CASE WHEN o.class = 'relation' THEN (
            WITH RECURSIVE family (oid) AS (
                SELECT o.whole UNION SELECT h.inhrelid FROM pg_inherits h JOIN family ON h.inhparent = family.oid)
            SELECT json_agg(json_build_object('oid', c.oid::bigint, 'kind', c.relkind, 'owner', pg_get_userbyid(c.relowner),
                'identity', format('%I.%I', n.nspname, c.relname), 'acl', to_json(array_remove(c.relacl::text || ARRAY(
                    SELECT a.attnum || a.attacl::text FROM pg_attribute a WHERE a.attrelid = c.oid), NULL))) ORDER BY c.oid)
            FROM family JOIN pg_class c ON c.oid = family.oid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind NOT IN ('i', 'I')) END
    ) ORDER BY o.class, o.oid), '[]') FROM found o))::text
";

/// What was found.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Catalog {
    pub(super) schemas: Vec<Schema>,
    pub(super) objects: Vec<Object>,
    /// The casts that users have made.
    pub(super) casts: Vec<u32>,
}

/// A schema.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Schema {
    pub(super) oid: u32,
    /// Who may what, as the server writes it.
    pub(super) acl: Vec<String>,
    pub(super) name: String,
    pub(super) owner: String,
    /// Whether the grant has something to be made in it.
    pub(super) is_target: bool,
}

/// What kind of catalog an object is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Class {
    Relation,
    Function,
    Type,
    Statistics,
    Collation,
}

/// An object, with what is needed to give rights on it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Object {
    pub(super) class: Class,
    /// The letter that the catalog has for its kind.
    pub(super) kind: String,
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// Its name as commands have it.
    pub(super) identity: String,
    pub(super) owner: String,
    /// Who may what, as the server writes it; of relations, their family has it.
    pub(super) acl: Vec<String>,
    /// Whether another object or an extension decides whose it is.
    pub(super) is_linked: bool,
    columns: Option<Vec<String>>,
    sequences: Option<Vec<String>>,
    family: Option<Vec<Member>>,
}

/// One of the relations that change hands together: a table, its partitions and what inherits from it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Member {
    pub(super) oid: u32,
    pub(super) acl: Vec<String>,
    pub(super) kind: String,
    pub(super) owner: String,
    pub(super) identity: String,
}

impl Object {
    pub(super) fn as_name(&self) -> Name {
        Name::new(&*self.schema, &*self.name)
    }

    /// The columns of a relation.
    pub(super) fn columns(&self) -> &[String] {
        self.columns.as_deref().unwrap_or_default()
    }

    /// The sequences that its defaults count with.
    pub(super) fn sequences(&self) -> &[String] {
        self.sequences.as_deref().unwrap_or_default()
    }

    /// The relations that change hands with it: for an index, its table.
    pub(super) fn family(&self) -> &[Member] {
        self.family.as_deref().unwrap_or_default()
    }
}

impl Catalog {
    /// Looks for what a grant speaks of. A transaction that has begun has the system's names alone from there on.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn read(
        session: &mut PostgresSession,
        grant: &Grant,
        place: &Place,
        default_schema: &str,
    ) -> Result<Self, DriverError> {
        let (mut schemas, mut names, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        let default_schema = like(default_schema);
        match &grant.reach {
            Reach::Everything | Reach::Learning(_) => {
                schemas.push("%".to_owned());
                names.push("%".to_owned());
                targets.push("%".to_owned());
            }
            Reach::Only(capabilities) => {
                for (makes, schema, name) in patterns(capabilities) {
                    let schema = schema.unwrap_or_else(|| default_schema.clone());
                    if makes {
                        targets.push(schema.clone());
                    }
                    schemas.push(schema);
                    names.push(name);
                }
            }
        }
        let sql = CATALOG
            .replace("{quick}", QUICK)
            .replace("{space}", &text_literal(&place.schema))
            .replace("{versions}", &text_literal(&place.version_table))
            .replace("{targets}", &texts(&targets))
            .replace("{schemas}", &texts(&schemas))
            .replace("{names}", &texts(&names));
        let rows = session.simple(&sql).await?;
        super::parse(rows)
    }
}

/// Whether each capability has something made in a schema, and its schema and name as LIKE has them.
fn patterns(
    capabilities: &Capabilities,
) -> impl Iterator<Item = (bool, Option<String>, String)> + '_ {
    use crate::capability::{Action, Code, Kind};
    capabilities.iter().map(|one| {
        let makes = match one.action {
            Action::Create(kind) => kind != Kind::Schema,
            Action::Code(code) => matches!(
                code,
                Code::Function | Code::View | Code::Operator | Code::Cast
            ),
            Action::Alter(Kind::Table | Kind::Index) | Action::Extension => true,
            _ => false,
        };
        let (schema, name) = one.object.to_like();
        (makes, schema, name)
    })
}

fn like(name: &str) -> String {
    name.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

fn texts(texts: &[String]) -> String {
    let literals: Vec<String> = texts.iter().map(|text| text_literal(text)).collect();
    format!("ARRAY[{}]::text[]", literals.join(", "))
}
