//! From a grant to the rights that a role gets for one transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Catalog, Class, Object};
use crate::capability::{Access, Action, Code, Columns, Grant, Kind, Name};
use crate::driver::postgres::quoted;

/// An object that belongs to the guest for the length of a transaction, and to whom before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HandedOver {
    pub(super) keyword: &'static str,
    /// The catalog that it is in.
    pub(super) catalog: &'static str,
    pub(super) oid: u32,
    /// What a grant calls it; of a table that goes with another object, that one.
    pub(super) name: Name,
    pub(super) identity: String,
    pub(super) owner: String,
    pub(super) acl: Vec<String>,
}

/// What a role is given: the commands, and what changes hands by them.
#[derive(Debug, Default)]
pub(super) struct Rights {
    pub(super) commands: Vec<String>,
    pub(super) handed_over: Vec<HandedOver>,
}

const DATA: [(Action, &str); 3] = [
    (Action::Select, "SELECT"),
    (Action::Insert, "INSERT"),
    (Action::Update, "UPDATE"),
];

/// What only the owner of a table can do.
const OF_OWNERS: [Action; 8] = [
    Action::Alter(Kind::Table),
    Action::Drop(Kind::Table),
    Action::Create(Kind::Index),
    Action::Code(Code::Trigger),
    Action::Code(Code::Rule),
    Action::Code(Code::Policy),
    Action::Code(Code::Default),
    Action::Grant,
];

/// Translates a grant into rights of `role`, a quoted name.
pub(super) fn rights(
    grant: &Grant,
    catalog: &Catalog,
    default_schema: &str,
    database: &str,
    role: &str,
) -> Rights {
    let mut giving = Giving {
        grant,
        default_schema,
        role,
        rights: Rights::default(),
        schemas: BTreeMap::new(),
        given: BTreeSet::new(),
    };
    // An owner has its rights by itself: what is given to it besides would stay when the object goes back.
    for object in &catalog.objects {
        giving.change_hands(object);
    }
    giving.schemas(catalog);
    for object in &catalog.objects {
        giving.allow(object);
    }
    if may_make_in_database(grant) {
        giving.rights.commands.push(format!(
            "GRANT CREATE ON DATABASE {} TO {role}",
            quoted(database)
        ));
    }
    giving.finish()
}

fn may_make_in_database(grant: &Grant) -> bool {
    use crate::capability::Reach;
    match &grant.reach {
        Reach::Everything | Reach::Learning(_) => true,
        Reach::Only(capabilities) => capabilities.iter().any(|one| {
            matches!(
                one.action,
                Action::Create(Kind::Schema) | Action::Extension | Action::Alter(Kind::Schema)
            )
        }),
    }
}

/// What the role gets in a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum InSchema {
    Usage,
    Create,
}

struct Giving<'a> {
    grant: &'a Grant,
    default_schema: &'a str,
    role: &'a str,
    rights: Rights,
    schemas: BTreeMap<String, InSchema>,
    /// The objects that have changed hands.
    given: BTreeSet<u32>,
}

impl Giving<'_> {
    fn may(&self, action: Action, name: &Name) -> bool {
        self.may_with(action, name, Columns::All)
    }

    fn may_with(&self, action: Action, name: &Name, columns: Columns) -> bool {
        let access = Access::new(action, name.clone()).with_columns(columns);
        self.grant.check(&access, self.default_schema).is_ok()
    }

    fn may_any(&self, actions: &[Action], name: &Name) -> bool {
        actions.iter().any(|action| self.may(*action, name))
    }

    fn uses(&mut self, schema: &str, how: InSchema) {
        let has = self.schemas.entry(schema.to_owned()).or_insert(how);
        *has = (*has).max(how);
    }

    fn command(&mut self, schema: &str, command: String) {
        self.uses(schema, InSchema::Usage);
        self.rights.commands.push(command);
    }

    /// Hands an object over where the grant has something that only its owner can do.
    fn change_hands(&mut self, object: &Object) {
        let kind = |kind: Kind| [Action::Alter(kind), Action::Drop(kind)];
        match (object.class, object.kind.as_str()) {
            (Class::Relation, "i" | "I") => self.own_family(object, &kind(Kind::Index)),
            (Class::Relation, "S") => {
                self.own(object, &kind(Kind::Sequence), "SEQUENCE", "pg_class")
            }
            (Class::Relation, "v" | "m") => {
                self.own_family(object, &[Action::Code(Code::View), Action::Grant])
            }
            (Class::Relation, _) => self.own_family(object, &OF_OWNERS),
            (Class::Function, _) => {
                self.own(
                    object,
                    &[Action::Code(Code::Function)],
                    "ROUTINE",
                    "pg_proc",
                );
            }
            (Class::Type, "d") => self.own(object, &kind(Kind::Type), "DOMAIN", "pg_type"),
            (Class::Type, _) => self.own(object, &kind(Kind::Type), "TYPE", "pg_type"),
            (Class::Statistics, _) => {
                self.own(
                    object,
                    &kind(Kind::Statistics),
                    "STATISTICS",
                    "pg_statistic_ext",
                );
            }
            (Class::Collation, _) => {
                self.own(object, &kind(Kind::Collation), "COLLATION", "pg_collation");
            }
        }
    }

    /// Gives the rights that an object's owner can give.
    fn allow(&mut self, object: &Object) {
        if self.given.contains(&object.oid) {
            return;
        }
        let name = object.as_name();
        match (object.class, object.kind.as_str()) {
            (Class::Relation, "i" | "I") => {}
            (Class::Relation, "S") => self.sequence(object, &name),
            (Class::Relation, _) => self.data(object, &name),
            (Class::Function, _) if self.may(Action::Call, &name) => {
                let command = format!(
                    "GRANT EXECUTE ON ROUTINE {} TO {}",
                    object.identity, self.role
                );
                self.command(&object.schema, command);
            }
            _ => {}
        }
    }

    /// Rights to read and write rows. Who may read a column may refer to it.
    fn data(&mut self, object: &Object, name: &Name) {
        let mut whole = Vec::new();
        let mut in_part = Vec::new();
        for (action, word) in DATA {
            let words = match action {
                Action::Select => &["SELECT", "REFERENCES"][..],
                _ => &[word][..],
            };
            if self.may(action, name) {
                whole.extend(words.iter().map(|word| (*word).to_owned()));
                continue;
            }
            let columns: Vec<String> = object
                .columns()
                .iter()
                .filter(|column| self.may_with(action, name, Columns::some([column.as_str()])))
                .map(|column| quoted(column))
                .collect();
            if !columns.is_empty() {
                let columns = columns.join(", ");
                in_part.extend(words.iter().map(|word| format!("{word} ({columns})")));
            }
        }
        if self.may(Action::Delete, name) {
            whole.push("DELETE".to_owned());
        }
        if self.may(Action::Truncate, name) {
            whole.push("TRUNCATE".to_owned());
        }
        if self.may(Action::Copy, name) {
            whole.extend(["SELECT".to_owned(), "INSERT".to_owned()]);
        }
        whole.sort_unstable();
        whole.dedup();
        let inserts = whole
            .iter()
            .chain(&in_part)
            .any(|word| word.starts_with("INSERT"));
        whole.extend(in_part);
        if whole.is_empty() {
            return;
        }
        let command = format!(
            "GRANT {} ON TABLE {} TO {}",
            whole.join(", "),
            object.identity,
            self.role
        );
        self.command(&object.schema, command);
        if inserts && !object.sequences().is_empty() {
            let command = format!(
                "GRANT USAGE ON SEQUENCE {} TO {}",
                object.sequences().join(", "),
                self.role
            );
            self.rights.commands.push(command);
        }
    }

    fn sequence(&mut self, object: &Object, name: &Name) {
        let mut words = Vec::new();
        if self.may(Action::Select, name) {
            words.push("SELECT");
        }
        if self.may(Action::Update, name) {
            words.extend(["UPDATE", "USAGE"]);
        }
        if !words.is_empty() {
            let command = format!(
                "GRANT {} ON SEQUENCE {} TO {}",
                words.join(", "),
                object.identity,
                self.role
            );
            self.command(&object.schema, command);
        }
    }

    fn own(
        &mut self,
        object: &Object,
        actions: &[Action],
        keyword: &'static str,
        catalog: &'static str,
    ) {
        if object.is_linked || !self.may_any(actions, &object.as_name()) {
            return;
        }
        self.uses(&object.schema, InSchema::Create);
        self.hand_over(HandedOver {
            keyword,
            catalog,
            oid: object.oid,
            name: object.as_name(),
            identity: object.identity.clone(),
            owner: object.owner.clone(),
            acl: object.acl.clone(),
        });
    }

    /// A table with all that inherits from it; of an index, its table.
    fn own_family(&mut self, object: &Object, actions: &[Action]) {
        if object.is_linked || !self.may_any(actions, &object.as_name()) {
            return;
        }
        self.uses(&object.schema, InSchema::Create);
        for member in object.family() {
            self.hand_over(HandedOver {
                keyword: match member.kind.as_str() {
                    "v" => "VIEW",
                    "m" => "MATERIALIZED VIEW",
                    "f" => "FOREIGN TABLE",
                    _ => "TABLE",
                },
                catalog: "pg_class",
                oid: member.oid,
                name: object.as_name(),
                identity: member.identity.clone(),
                owner: member.owner.clone(),
                acl: member.acl.clone(),
            });
        }
    }

    fn hand_over(&mut self, object: HandedOver) {
        if self.given.insert(object.oid) {
            self.rights.handed_over.push(object);
        }
    }

    /// A new owner must be able to create objects where the object is, and so must whoever makes one.
    fn schemas(&mut self, catalog: &Catalog) {
        for schema in &catalog.schemas {
            if schema.is_target {
                self.uses(&schema.name, InSchema::Create);
            }
            let name = Name::bare(&*schema.name);
            let actions = [Action::Alter(Kind::Schema), Action::Drop(Kind::Schema)];
            if self.may_any(&actions, &name) {
                self.hand_over(HandedOver {
                    keyword: "SCHEMA",
                    catalog: "pg_namespace",
                    oid: schema.oid,
                    name: name.clone(),
                    identity: quoted(&schema.name),
                    owner: schema.owner.clone(),
                    acl: schema.acl.clone(),
                });
            }
        }
    }

    /// Rights on schemas come first, since they are looked at when an object changes hands; and objects change hands
    /// last, since an owner has its rights by itself.
    fn finish(self) -> Rights {
        let role = self.role;
        let handed_over = self.rights.handed_over;
        let is_handed_over = |schema: &str| {
            let identity = quoted(schema);
            handed_over
                .iter()
                .any(|object| object.keyword == "SCHEMA" && object.identity == identity)
        };
        let mut commands: Vec<String> = self
            .schemas
            .iter()
            .filter(|(schema, _)| !is_handed_over(schema))
            .map(|(schema, how)| {
                let words = match how {
                    InSchema::Usage => "USAGE",
                    InSchema::Create => "USAGE, CREATE",
                };
                format!("GRANT {words} ON SCHEMA {} TO {role}", quoted(schema))
            })
            .collect();
        commands.extend(self.rights.commands);
        commands.extend(handed_over.iter().map(|object| {
            format!(
                "ALTER {} {} OWNER TO {role}",
                object.keyword, object.identity
            )
        }));
        Rights {
            commands,
            handed_over,
        }
    }
}
