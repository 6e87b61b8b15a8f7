//! Names of relations: what they stand for, and whether they may be touched at all.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, RangeVar};

use super::{Refusal, Walked, Walker, inner, misplaced, text, unexpected};
use crate::capability::{Action, Columns, Kind, Name};
use crate::sql::access::known::{self, Reading};
use crate::sql::access::{Made, RelationKind};

/// What a relation's name stands for.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Its name as the grant knows it.
    pub(super) name: Name,
    /// Its name as the database has it now.
    pub(super) real: Name,
    /// What it is; `None` where nothing has the name.
    pub(super) kind: Option<RelationKind>,
    /// Its columns, where it is there.
    pub(super) columns: Option<Vec<String>>,
    pub(super) freedom: Freedom,
    pub(super) at: i32,
}

/// Whether a grant is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freedom {
    /// It is.
    Asked,
    /// It is not: this call has made the object, or it is gone with the session.
    Free,
}

const SYSTEM: &str = "what the server keeps for itself is changed by its own statements only";

/// Whether a schema is the server's.
pub(super) fn is_system_schema(schema: &str) -> bool {
    schema == "information_schema" || is_reserved(schema)
}

fn is_reserved(schema: &str) -> bool {
    schema.starts_with("pg_") && !is_temporary_schema(schema)
}

pub(super) fn is_temporary_schema(schema: &str) -> bool {
    schema.starts_with("pg_temp")
}

/// The parts of a dotted name.
pub(super) fn parts(nodes: &[Node]) -> Result<Vec<&str>, Refusal> {
    nodes.iter().map(text).collect()
}

/// A dotted name as it is written. The database before a schema must be the current one: the server takes no other.
pub(super) fn dotted(nodes: &[Node]) -> Result<Name, Refusal> {
    match parts(nodes)?.as_slice() {
        [name] => Ok(Name::bare(*name)),
        [schema, name] | [_, schema, name] => Ok(Name::new(*schema, *name)),
        _ => Err(unexpected("a name of so many parts")),
    }
}

/// The dotted name that a node holds, whichever way.
pub(super) fn dotted_node(node: &Node) -> Result<Name, Refusal> {
    match inner(node)? {
        NodeEnum::List(list) => dotted(&list.items),
        NodeEnum::String(one) => Ok(Name::bare(one.sval.clone())),
        NodeEnum::TypeName(name) => dotted(&name.names),
        NodeEnum::ObjectWithArgs(object) => dotted(&object.objname),
        other => Err(misplaced(other)),
    }
}

/// The name that a range variable writes.
pub(super) fn written(range: &RangeVar) -> Name {
    Name {
        schema: (!range.schemaname.is_empty()).then(|| range.schemaname.clone()),
        name: range.relname.clone(),
    }
}

pub(super) fn range_var(node: &Node) -> Result<&RangeVar, Refusal> {
    match inner(node)? {
        NodeEnum::RangeVar(range) => Ok(range),
        other => Err(misplaced(other)),
    }
}

/// A node that the grammar has always set.
pub(super) fn given<T>(part: Option<&T>) -> Result<&T, Refusal> {
    part.ok_or_else(|| unexpected("nothing"))
}

impl Walker<'_> {
    /// What a written name stands for.
    pub(super) fn target(&mut self, written: &Name, at: i32) -> Result<Target, Refusal> {
        self.own(&written.name, at)?;
        if written
            .schema
            .as_deref()
            .is_some_and(|schema| schema.starts_with("pg_toast"))
        {
            return Err(Refusal::new("access", SYSTEM)
                .of(written.to_string())
                .at(at));
        }
        let context = self.context;
        let found = match context.catalog.relation(written) {
            Some(found) => found,
            None => {
                self.wanted.relations.insert(written.clone());
                None
            }
        };
        let Some(relation) = found else {
            let real = self.whole(written);
            let is_temporary = real.schema.as_deref().is_some_and(is_temporary_schema);
            return Ok(Target {
                name: context.changes.original_in_schema(Made::Relation, &real),
                freedom: match is_temporary || context.changes.has_made(Made::Relation, &real) {
                    true => Freedom::Free,
                    false => Freedom::Asked,
                },
                real,
                kind: None,
                columns: None,
                at,
            });
        };
        self.own(&relation.name.name, at)?;
        let real = relation.name.clone();
        // A row of it has a type as well, of its name.
        self.types.insert(real.clone());
        self.types.extend(relation.types.iter().cloned());
        let is_free = matches!(
            relation.kind,
            RelationKind::Temporary | RelationKind::TemporaryView
        ) || context.changes.has_made(Made::Relation, &real);
        Ok(Target {
            name: context.changes.original_in_schema(Made::Relation, &real),
            real,
            kind: Some(relation.kind),
            columns: Some(relation.columns.clone()),
            freedom: if is_free {
                Freedom::Free
            } else {
                Freedom::Asked
            },
            at,
        })
    }

    /// What the name of a range variable stands for.
    pub(super) fn target_of(&mut self, range: &RangeVar) -> Result<Target, Refusal> {
        let RangeVar {
            catalogname: _,
            schemaname: _,
            relname: _,
            inh: _,
            relpersistence: _,
            alias: _,
            location,
        } = range;
        self.target(&written(range), *location)
    }

    /// The same, where something else than reading is done to it: nobody does that to what is the server's.
    pub(super) fn target_to_change(&mut self, range: &RangeVar) -> Result<Target, Refusal> {
        let target = self.target_of(range)?;
        target.refuse_system()?;
        Ok(target)
    }

    /// A name with the schema that new things get.
    pub(super) fn whole(&self, written: &Name) -> Name {
        match &written.schema {
            Some(_) => written.clone(),
            None => Name::new(
                self.context.catalog.default_schema.clone(),
                written.name.clone(),
            ),
        }
    }

    /// Looks at a relation of the server's before it is read.
    pub(super) fn read_system(&mut self, target: &mut Target) -> Walked {
        let schema = target.real.schema.as_deref().unwrap_or_default();
        if !is_system_schema(schema) {
            return Ok(());
        }
        match known::system_relation(schema, &target.real.name) {
            Reading::Open => target.freedom = Freedom::Free,
            Reading::Granted => {}
            Reading::Closed => {
                return Err(
                    Refusal::new("access", "it tells more than a migration may know")
                        .of(target.real.to_string())
                        .at(target.at),
                );
            }
        }
        Ok(())
    }

    /// Asks for the right to do something to a relation, unless it may be used freely.
    pub(super) fn ask(&mut self, action: Action, target: &Target, columns: Columns) {
        if target.freedom == Freedom::Asked {
            let columns = match columns {
                Columns::Some(names) => Columns::some(
                    names
                        .iter()
                        .map(|name| self.context.changes.original_column(&target.real, name)),
                ),
                Columns::All => Columns::All,
            };
            self.add_columns(action, target.name.clone(), columns, target.at);
        }
    }

    /// Asks for the right to alter a relation, by what it is; `written` is what the statement calls it.
    pub(super) fn ask_to_alter(&mut self, target: &Target, written: Kind) {
        self.ask(target.altering(written), target, Columns::All);
    }

    /// A new name that the statement gives to something.
    pub(super) fn new_name(&self, written: &Name, at: i32) -> Result<Name, Refusal> {
        self.own(&written.name, at)?;
        let whole = self.whole(written);
        if whole.schema.as_deref().is_some_and(is_system_schema) {
            return Err(Refusal::new("a new object", SYSTEM)
                .of(whole.to_string())
                .at(at));
        }
        Ok(whole)
    }
}

impl Target {
    /// Refuses what is the server's.
    pub(super) fn refuse_system(&self) -> Walked {
        if self.real.schema.as_deref().is_some_and(is_system_schema) {
            return Err(Refusal::new("change", SYSTEM)
                .of(self.real.to_string())
                .at(self.at));
        }
        Ok(())
    }

    /// The right to alter it.
    pub(super) fn altering(&self, written: Kind) -> Action {
        use crate::capability::Code;
        match self.kind {
            Some(
                RelationKind::View | RelationKind::TemporaryView | RelationKind::MaterializedView,
            ) => Action::Code(Code::View),
            Some(RelationKind::Sequence) => Action::Alter(Kind::Sequence),
            Some(RelationKind::Index) => Action::Alter(Kind::Index),
            Some(RelationKind::Composite) => Action::Alter(Kind::Type),
            Some(RelationKind::Table) => Action::Alter(Kind::Table),
            Some(RelationKind::Temporary | RelationKind::Other) | None => Action::Alter(written),
        }
    }

    pub(super) fn is_free(&self) -> bool {
        self.freedom == Freedom::Free
    }
}
