//! What all kinds of objects have: another name, another schema, an owner, a comment.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterObjectDependsStmt, AlterObjectSchemaStmt, AlterOwnerStmt, CommentStmt, Node, ObjectType,
    RenameStmt,
};

use super::definitions::made_as;
use super::names::{Target, dotted, dotted_node, given, is_system_schema};
use super::{Refusal, Walked, Walker, inner, unexpected};
use crate::capability::{Action, Code, Columns, Kind, Name};
use crate::sql::access::{Change, Definitions, Made};

const SERVER: &str = "a component may only change its own database";

/// How an object of a type is spoken of.
enum Spoken {
    Relation(Kind),
    Other(Kind),
    Code(Code),
    /// A part of a table that is code: trigger, rule, policy.
    CodeOn(Code),
    /// A part of a table: column, constraint.
    PartOfTable,
    PartOfType,
    Extension,
    Never,
}

fn spoken(object: ObjectType) -> Spoken {
    use ObjectType as Of;
    match object {
        Of::ObjectTable | Of::ObjectView | Of::ObjectMatview => Spoken::Relation(Kind::Table),
        Of::ObjectIndex => Spoken::Relation(Kind::Index),
        Of::ObjectSequence => Spoken::Relation(Kind::Sequence),
        Of::ObjectColumn | Of::ObjectTabconstraint => Spoken::PartOfTable,
        Of::ObjectTrigger => Spoken::CodeOn(Code::Trigger),
        Of::ObjectRule => Spoken::CodeOn(Code::Rule),
        Of::ObjectPolicy => Spoken::CodeOn(Code::Policy),
        Of::ObjectSchema => Spoken::Other(Kind::Schema),
        Of::ObjectType | Of::ObjectDomain => Spoken::Other(Kind::Type),
        Of::ObjectAttribute | Of::ObjectDomconstraint => Spoken::PartOfType,
        Of::ObjectStatisticExt => Spoken::Other(Kind::Statistics),
        Of::ObjectCollation => Spoken::Other(Kind::Collation),
        Of::ObjectTsconfiguration | Of::ObjectTsdictionary => Spoken::Other(Kind::TextSearch),
        Of::ObjectFunction | Of::ObjectProcedure | Of::ObjectRoutine | Of::ObjectAggregate => {
            Spoken::Code(Code::Function)
        }
        Of::ObjectOperator | Of::ObjectOpclass | Of::ObjectOpfamily => Spoken::Code(Code::Operator),
        Of::ObjectCast => Spoken::Code(Code::Cast),
        Of::ObjectExtension => Spoken::Extension,
        Of::Undefined
        | Of::ObjectAccessMethod
        | Of::ObjectAmop
        | Of::ObjectAmproc
        | Of::ObjectConversion
        | Of::ObjectDatabase
        | Of::ObjectDefault
        | Of::ObjectDefacl
        | Of::ObjectEventTrigger
        | Of::ObjectFdw
        | Of::ObjectForeignServer
        | Of::ObjectForeignTable
        | Of::ObjectLanguage
        | Of::ObjectLargeobject
        | Of::ObjectParameterAcl
        | Of::ObjectPublication
        | Of::ObjectPublicationNamespace
        | Of::ObjectPublicationRel
        | Of::ObjectRole
        | Of::ObjectSubscription
        | Of::ObjectTablespace
        | Of::ObjectTransform
        | Of::ObjectTsparser
        | Of::ObjectTstemplate
        | Of::ObjectUserMapping => Spoken::Never,
    }
}

impl Walker<'_> {
    pub(super) fn rename(&mut self, rename: &RenameStmt) -> Walked {
        let RenameStmt {
            rename_type: _,
            relation_type: _,
            relation,
            object,
            subname,
            newname,
            behavior: _,
            missing_ok: _,
        } = rename;
        self.own(newname, -1)?;
        self.changes(Definitions::Relations);
        let object = object.as_deref();
        match spoken(rename.rename_type()) {
            Spoken::Relation(kind) => {
                let target = self.target_to_change(given(relation.as_ref())?)?;
                self.ask_to_alter(&target, kind);
                let to = Name {
                    schema: target.real.schema.clone(),
                    name: newname.clone(),
                };
                self.change(Change::Renamed(Made::Relation, target.real, to));
                Ok(())
            }
            Spoken::PartOfTable => {
                let target = self.target_to_change(given(relation.as_ref())?)?;
                self.ask_to_alter(&target, Kind::Table);
                if rename.rename_type() == ObjectType::ObjectColumn {
                    self.rename_column(&target.real, subname, newname);
                }
                Ok(())
            }
            Spoken::CodeOn(code) => {
                let target = self.target_to_change(given(relation.as_ref())?)?;
                self.code_on(code, &target);
                Ok(())
            }
            Spoken::PartOfType => match (relation, object) {
                (Some(composite), _) => {
                    let target = self.target_to_change(composite)?;
                    self.ask_to_alter(&target, Kind::Type);
                    Ok(())
                }
                (None, Some(domain)) => {
                    let name = dotted_node(domain)?;
                    self.ask_for_other(Action::Alter(Kind::Type), Kind::Type, &name, -1)
                        .map(drop)
                }
                (None, None) => Err(unexpected("nothing")),
            },
            Spoken::Other(Kind::Schema) => {
                let from = Name::bare(subname.clone());
                if is_system_schema(newname) {
                    return Err(Refusal::new(
                        "ALTER SCHEMA",
                        "the name belongs to the server",
                    ));
                }
                let from =
                    self.ask_for_other(Action::Alter(Kind::Schema), Kind::Schema, &from, -1)?;
                self.change(Change::Renamed(
                    Made::Schema,
                    from,
                    Name::bare(newname.clone()),
                ));
                Ok(())
            }
            Spoken::Other(kind) => {
                let written = dotted_node(given(object)?)?;
                let from = self.ask_for_other(Action::Alter(kind), kind, &written, -1)?;
                let to = Name {
                    schema: from.schema.clone(),
                    name: newname.clone(),
                };
                self.change(Change::Renamed(made_as(kind), from, to));
                Ok(())
            }
            Spoken::Code(Code::Function) => {
                let written = dotted_node(given(object)?)?;
                let from = self.ask_for_code(Code::Function, &written)?;
                let to = Name {
                    schema: from.schema.clone(),
                    name: newname.clone(),
                };
                self.change(Change::Renamed(Made::Function, from, to));
                Ok(())
            }
            Spoken::Code(_) => {
                let written = Self::operator_object(given(object)?, rename.rename_type())?;
                self.ask_for_code(Code::Operator, &written).map(drop)
            }
            Spoken::Extension | Spoken::Never => Err(Refusal::new("ALTER … RENAME", SERVER)),
        }
    }

    pub(super) fn set_schema(&mut self, alter: &AlterObjectSchemaStmt) -> Walked {
        let AlterObjectSchemaStmt {
            object_type: _,
            relation,
            object,
            newschema,
            missing_ok: _,
        } = alter;
        if is_system_schema(newschema) {
            return Err(
                Refusal::new("SET SCHEMA", "the schema belongs to the server")
                    .of(newschema.clone()),
            );
        }
        self.own(newschema, -1)?;
        self.changes(Definitions::Relations);
        let moved = |name: &Name| Name::new(newschema.clone(), name.name.clone());
        let object = object.as_deref();
        match spoken(alter.object_type()) {
            Spoken::Relation(kind) => {
                let target = self.target_to_change(given(relation.as_ref())?)?;
                self.ask_to_alter(&target, kind);
                let to = moved(&target.real);
                match target.altering(kind) {
                    Action::Alter(kind) => self.ask_to_make(kind, &to, -1),
                    code => self.add(code, to.clone(), -1),
                }
                self.change(Change::Renamed(Made::Relation, target.real, to));
                Ok(())
            }
            Spoken::Other(kind) => {
                let written = dotted_node(given(object)?)?;
                let from = self.ask_for_other(Action::Alter(kind), kind, &written, -1)?;
                let to = moved(&from);
                self.ask_to_make(kind, &to, -1);
                self.change(Change::Renamed(made_as(kind), from, to));
                Ok(())
            }
            Spoken::Code(Code::Function) => {
                let written = dotted_node(given(object)?)?;
                let from = self.ask_for_code(Code::Function, &written)?;
                let to = moved(&from);
                self.add(Action::Code(Code::Function), to.clone(), -1);
                self.change(Change::Renamed(Made::Function, from, to));
                Ok(())
            }
            Spoken::Code(code) => {
                let written = Self::operator_object(given(object)?, alter.object_type())?;
                let from = self.ask_for_code(code, &written)?;
                self.add(Action::Code(code), moved(&from), -1);
                Ok(())
            }
            Spoken::Extension => {
                self.add(Action::Extension, dotted_node(given(object)?)?, -1);
                Ok(())
            }
            Spoken::CodeOn(_) | Spoken::PartOfTable | Spoken::PartOfType | Spoken::Never => {
                Err(Refusal::new("SET SCHEMA", SERVER))
            }
        }
    }

    pub(super) fn change_owner(&mut self, alter: &AlterOwnerStmt) -> Walked {
        let AlterOwnerStmt {
            object_type: _,
            relation,
            object,
            newowner: _,
        } = alter;
        self.changes(Definitions::Relations);
        if let Some(range) = relation {
            let target = self.target_to_change(range)?;
            self.ask_to_alter(&target, Kind::Table);
            self.ask(Action::Grant, &target, Columns::All);
            return Ok(());
        }
        let object = given(object.as_deref())?;
        let name = match spoken(alter.object_type()) {
            Spoken::Other(kind) => {
                self.ask_for_other(Action::Alter(kind), kind, &dotted_node(object)?, -1)?
            }
            Spoken::Code(code) => {
                let written = Self::operator_object(object, alter.object_type())?;
                self.ask_for_code(code, &written)?
            }
            _ => return Err(Refusal::new("OWNER TO", SERVER)),
        };
        self.add(Action::Grant, name, -1);
        Ok(())
    }

    /// The name of an operator class or family stands behind that of its access method.
    fn operator_object(object: &Node, of: ObjectType) -> Result<Name, Refusal> {
        match (of, inner(object)?) {
            (ObjectType::ObjectOpclass | ObjectType::ObjectOpfamily, NodeEnum::List(list)) => {
                dotted(list.items.get(1..).unwrap_or_default())
            }
            _ => dotted_node(object),
        }
    }

    pub(super) fn depend_on_extension(&mut self, alter: &AlterObjectDependsStmt) -> Walked {
        let AlterObjectDependsStmt {
            object_type: _,
            relation: _,
            object: _,
            extname,
            remove: _,
        } = alter;
        let name = extname
            .as_ref()
            .map(|name| name.sval.clone())
            .unwrap_or_default();
        Err(Refusal::new("DEPENDS ON EXTENSION", SERVER).of(name))
    }

    pub(super) fn comment(&mut self, comment: &CommentStmt) -> Walked {
        let CommentStmt {
            objtype: _,
            object,
            comment: _,
        } = comment;
        let object = given(object.as_deref())?;
        let of = comment.objtype();
        match spoken(of) {
            Spoken::Relation(kind) => {
                let target = self.named(&dotted_node(object)?)?;
                self.ask_to_alter(&target, kind);
                Ok(())
            }
            Spoken::PartOfTable => {
                let target = self.named(&table_of(object)?)?;
                self.ask_to_alter(&target, Kind::Table);
                Ok(())
            }
            Spoken::CodeOn(code) => {
                let target = self.named(&table_of(object)?)?;
                self.code_on(code, &target);
                Ok(())
            }
            Spoken::Other(kind) => {
                let name = dotted_node(object)?;
                self.ask_for_other(Action::Alter(kind), kind, &name, -1)
                    .map(drop)
            }
            // The type comes first, then the constraint.
            Spoken::PartOfType => match inner(object)? {
                NodeEnum::List(list) => {
                    let name = dotted_node(given(list.items.first())?)?;
                    self.ask_for_other(Action::Alter(Kind::Type), Kind::Type, &name, -1)
                        .map(drop)
                }
                _ => Err(unexpected("such a name")),
            },
            Spoken::Code(Code::Cast) => match inner(object)? {
                NodeEnum::List(list) => {
                    let source = dotted_node(given(list.items.first())?)?;
                    self.add(Action::Code(Code::Cast), self.whole(&source), -1);
                    Ok(())
                }
                _ => Err(unexpected("such a name")),
            },
            Spoken::Code(code) => {
                let written = Self::operator_object(object, of)?;
                self.ask_for_code(code, &written).map(drop)
            }
            Spoken::Extension => {
                self.add(Action::Extension, dotted_node(object)?, -1);
                Ok(())
            }
            Spoken::Never => Err(Refusal::new("COMMENT", SERVER)),
        }
    }

    fn named(&mut self, written: &Name) -> Result<Target, Refusal> {
        let target = self.target(written, -1)?;
        target.refuse_system()?;
        Ok(target)
    }
}

/// The table of a part that is named behind it.
fn table_of(object: &Node) -> Result<Name, Refusal> {
    match inner(object)? {
        NodeEnum::List(list) => match list.items.split_last() {
            Some((part, table)) => {
                super::text(part)?;
                dotted(table)
            }
            None => Err(unexpected("no name")),
        },
        _ => Err(unexpected("such a name")),
    }
}
