//! Indexes, sequences, schemas, types and other things that hold data or describe it.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterDomainStmt, AlterEnumStmt, AlterSeqStmt, CompositeTypeStmt, CreateDomainStmt,
    CreateEnumStmt, CreateRangeStmt, CreateSchemaStmt, CreateSeqStmt, CreateStatsStmt, DefElem,
    DefineStmt, IndexStmt, Node, ObjectType, StatsElem,
};

use super::names::{dotted, dotted_node, given, is_system_schema, range_var, written};
use super::{Refusal, Walked, Walker, inner, misplaced, unexpected};
use crate::capability::{Action, Code, Columns, Kind, Name};
use crate::sql::access::{Definitions, Made};

const SUPPORT: &str = "its functions would run for everyone";

impl Walker<'_> {
    pub(super) fn create_index(&mut self, index: &IndexStmt) -> Walked {
        let IndexStmt {
            idxname,
            relation,
            access_method: _,
            table_space,
            index_params,
            index_including_params,
            options,
            where_clause,
            exclude_op_names: _,
            idxcomment: _,
            index_oid: _,
            old_number: _,
            old_create_subid: _,
            old_first_relfilelocator_subid: _,
            unique: _,
            nulls_not_distinct: _,
            primary: _,
            isconstraint: _,
            iswithoutoverlaps: _,
            deferrable: _,
            initdeferred: _,
            transformed: _,
            concurrent: _,
            if_not_exists,
            reset_default_tblspc: _,
        } = index;
        let range = given(relation.as_ref())?;
        self.own(idxname, range.location)?;
        let target = self.target_to_change(range)?;
        self.ask(Action::Create(Kind::Index), &target, Columns::All);
        self.tablespace(table_space)?;
        self.plain_options(options)?;
        let columns = target.columns.clone().unwrap_or_default();
        let before = self.calls;
        let table = target.real.clone();
        self.beside(&table, columns, |walker| {
            walker.each(
                index_params.iter().chain(index_including_params),
                |walker, node| match inner(node)? {
                    NodeEnum::IndexElem(element) => walker.index_part(element),
                    other => Err(misplaced(other)),
                },
            )?;
            walker.maybe(where_clause.as_deref())
        })?;
        if self.calls > before {
            self.code_on(Code::Default, &target);
        }
        if !idxname.is_empty() && target.kind.is_some() {
            let schema = target.real.schema.clone();
            let name = Name {
                schema,
                name: idxname.clone(),
            };
            self.made(Made::Relation, name, *if_not_exists);
        }
        self.changes(Definitions::Relations);
        Ok(())
    }

    pub(super) fn create_sequence(&mut self, create: &CreateSeqStmt) -> Walked {
        let CreateSeqStmt {
            sequence,
            options,
            owner_id: _,
            for_identity: _,
            if_not_exists,
        } = create;
        let range = given(sequence.as_ref())?;
        self.sequence_options(options)?;
        self.changes(Definitions::Relations);
        if Self::is_temporary(range) {
            return self.own(&range.relname, range.location);
        }
        let name = self.new_name(&written(range), range.location)?;
        self.ask_to_make(Kind::Sequence, &name, range.location);
        self.made(Made::Relation, name, *if_not_exists);
        Ok(())
    }

    pub(super) fn alter_sequence(&mut self, alter: &AlterSeqStmt) -> Walked {
        let AlterSeqStmt {
            sequence,
            options,
            for_identity: _,
            missing_ok: _,
        } = alter;
        let target = self.target_to_change(given(sequence.as_ref())?)?;
        self.ask_to_alter(&target, Kind::Sequence);
        self.sequence_options(options)
    }

    /// A sequence goes with the table that owns it.
    pub(super) fn sequence_options(&mut self, options: &[Node]) -> Walked {
        self.each(options, |walker, node| match inner(node)? {
            NodeEnum::DefElem(option) => {
                let DefElem {
                    defnamespace: _,
                    defname,
                    arg,
                    defaction: _,
                    arg_location: _,
                    location,
                } = &**option;
                match (defname.as_str(), arg) {
                    ("owned_by" | "sequence_name", Some(arg)) => walker.owned_by(arg, *location),
                    ("as", Some(arg)) => match inner(arg)? {
                        NodeEnum::TypeName(name) => walker.type_name(Some(name)),
                        other => Err(misplaced(other)),
                    },
                    _ => walker.plain_options(std::slice::from_ref(node)),
                }
            }
            other => Err(misplaced(other)),
        })
    }

    fn owned_by(&mut self, arg: &Node, at: i32) -> Walked {
        let NodeEnum::List(list) = inner(arg)? else {
            return Err(unexpected("such an owner"));
        };
        let Some((_, table)) = list.items.split_last() else {
            return Ok(());
        };
        // OWNED BY NONE has one part.
        if table.is_empty() {
            return Ok(());
        }
        let target = self.target(&dotted(table)?, at)?;
        target.refuse_system()?;
        self.ask_to_alter(&target, Kind::Table);
        Ok(())
    }

    pub(super) fn create_schema(&mut self, create: &CreateSchemaStmt) -> Walked {
        let CreateSchemaStmt {
            schemaname,
            authrole,
            schema_elts,
            if_not_exists,
        } = create;
        if authrole.is_some() {
            return Err(Refusal::new(
                "CREATE SCHEMA … AUTHORIZATION",
                "name the schema, and leave its owner",
            ));
        }
        if !schema_elts.is_empty() {
            return Err(Refusal::new(
                "CREATE SCHEMA with what is in it",
                "send the statements one by one",
            ));
        }
        self.own(schemaname, -1)?;
        if is_system_schema(schemaname) {
            return Err(
                Refusal::new("CREATE SCHEMA", "the name belongs to the server")
                    .of(schemaname.clone()),
            );
        }
        let name = Name::bare(schemaname.clone());
        self.add(Action::Create(Kind::Schema), name.clone(), -1);
        self.made(Made::Schema, name, *if_not_exists);
        Ok(())
    }

    fn new_type(&mut self, written: &Name, at: i32) -> Result<Name, Refusal> {
        let name = self.new_name(written, at)?;
        self.ask_to_make(Kind::Type, &name, at);
        self.made(Made::Type, name.clone(), false);
        Ok(name)
    }

    pub(super) fn create_composite(&mut self, create: &CompositeTypeStmt) -> Walked {
        let CompositeTypeStmt {
            typevar,
            coldeflist,
        } = create;
        let range = given(typevar.as_ref())?;
        let name = self.new_type(&written(range), range.location)?;
        self.each(coldeflist, |walker, node| match inner(node)? {
            NodeEnum::ColumnDef(column) => walker.column_definition(column, &name),
            other => Err(misplaced(other)),
        })
    }

    pub(super) fn create_enum(&mut self, create: &CreateEnumStmt) -> Walked {
        let CreateEnumStmt { type_name, vals: _ } = create;
        self.new_type(&dotted(type_name)?, -1).map(drop)
    }

    pub(super) fn alter_enum(&mut self, alter: &AlterEnumStmt) -> Walked {
        self.alter_other(Kind::Type, &alter.type_name)
    }

    pub(super) fn create_range(&mut self, create: &CreateRangeStmt) -> Walked {
        let CreateRangeStmt { type_name, params } = create;
        self.new_type(&dotted(type_name)?, -1)?;
        self.each(params, |_, node| match inner(node)? {
            NodeEnum::DefElem(option) => match option.defname.as_str() {
                "subtype" | "collation" | "multirange_type_name" | "subtype_opclass" => Ok(()),
                _ => {
                    Err(Refusal::new("CREATE TYPE … AS RANGE", SUPPORT).of(option.defname.clone()))
                }
            },
            other => Err(misplaced(other)),
        })
    }

    pub(super) fn create_domain(&mut self, create: &CreateDomainStmt) -> Walked {
        let CreateDomainStmt {
            domainname,
            type_name,
            coll_clause,
            constraints,
        } = create;
        let name = self.new_type(&dotted(domainname)?, -1)?;
        self.type_given(type_name.as_ref())?;
        if let Some(collate) = coll_clause {
            self.collation(&collate.collname)?;
        }
        self.beside(&name, vec!["value".to_owned()], |walker| {
            walker.each(constraints, |walker, node| {
                walker.constraint_of(node, &name)
            })
        })
    }

    fn constraint_of(&mut self, node: &Node, name: &Name) -> Walked {
        match inner(node)? {
            NodeEnum::Constraint(constraint) => self.constraint(constraint, name),
            other => Err(misplaced(other)),
        }
    }

    pub(super) fn alter_domain(&mut self, alter: &AlterDomainStmt) -> Walked {
        let AlterDomainStmt {
            subtype,
            type_name,
            name: _,
            def,
            behavior: _,
            missing_ok: _,
        } = alter;
        if alter.behavior() == pg_query::protobuf::DropBehavior::DropCascade {
            return Err(super::drops::cascade());
        }
        self.alter_other(Kind::Type, type_name)?;
        let Some(def) = def else {
            return Ok(());
        };
        let name = self.whole(&dotted(type_name)?);
        self.beside(&name, vec!["value".to_owned()], |walker| {
            match subtype.as_str() {
                "C" => walker.constraint_of(def, &name),
                _ => walker.kept(def, &name),
            }
        })
    }

    pub(super) fn create_statistics(&mut self, create: &CreateStatsStmt) -> Walked {
        let CreateStatsStmt {
            defnames,
            stat_types: _,
            exprs,
            relations,
            stxcomment: _,
            transformed: _,
            if_not_exists,
        } = create;
        for node in relations {
            let target = self.target_to_change(range_var(node)?)?;
            self.ask_to_alter(&target, Kind::Table);
            let columns = target.columns.clone().unwrap_or_default();
            let table = target.name.clone();
            self.beside(&table, columns, |walker| {
                walker.each(exprs, |walker, node| match inner(node)? {
                    NodeEnum::StatsElem(element) => {
                        let StatsElem { name: _, expr } = &**element;
                        match expr {
                            Some(expression) => walker.kept(expression, &table),
                            None => Ok(()),
                        }
                    }
                    other => Err(misplaced(other)),
                })
            })?;
        }
        if !defnames.is_empty() {
            let name = self.new_name(&dotted(defnames)?, -1)?;
            self.ask_to_make(Kind::Statistics, &name, -1);
            self.made(Made::Other, name, *if_not_exists);
        }
        self.changes(Definitions::Relations);
        Ok(())
    }

    /// Asks for the right to alter something that is no relation.
    pub(super) fn alter_other(&mut self, kind: Kind, name: &[Node]) -> Walked {
        let written = dotted(name)?;
        self.ask_for_other(Action::Alter(kind), kind, &written, -1)
            .map(drop)
    }

    /// Asks for a right on something that is no relation; tells its name as the database has it.
    pub(super) fn ask_for_other(
        &mut self,
        action: Action,
        kind: Kind,
        written: &Name,
        at: i32,
    ) -> Result<Name, Refusal> {
        self.own(&written.name, at)?;
        self.changes(match kind {
            Kind::Schema => Definitions::Anything,
            _ => Definitions::Relations,
        });
        let made = made_as(kind);
        let real = match kind {
            Kind::Schema => Name::bare(written.name.clone()),
            Kind::Type => match self.context.catalog.r#type(written) {
                Some(Some(found)) => found.name.clone(),
                Some(None) => self.whole(written),
                None => {
                    self.wanted.types.insert(written.clone());
                    self.whole(written)
                }
            },
            _ => self.whole(written),
        };
        self.own(&real.name, at)?;
        if real.schema.as_deref().is_some_and(is_system_schema)
            || (kind == Kind::Schema && is_system_schema(&real.name))
        {
            return Err(Refusal::new("change", "it belongs to the server")
                .of(real.to_string())
                .at(at));
        }
        if !self.context.changes.has_made(made, &real) {
            let original = self.context.changes.original_in_schema(made, &real);
            self.add(action, original, at);
        }
        Ok(real)
    }

    /// Whoever uses an operator calls its function, and the planner those that estimate.
    pub(super) fn operator_option(&mut self, node: &Node) -> Walked {
        match inner(node)? {
            NodeEnum::DefElem(option) => match option.defname.to_ascii_lowercase().as_str() {
                "function" | "procedure" => {
                    self.called_later(&dotted_node(given(option.arg.as_deref())?)?)
                }
                "restrict" | "join" => {
                    let Some(name) = option.arg.as_deref() else {
                        // NONE
                        return Ok(());
                    };
                    let name = dotted_node(name)?;
                    match name.name.ends_with("sel") {
                        true => {
                            self.overloads(&name, option.location);
                            Ok(())
                        }
                        false => self.called_later(&name),
                    }
                }
                _ => Ok(()),
            },
            other => Err(misplaced(other)),
        }
    }

    pub(super) fn define(&mut self, define: &DefineStmt) -> Walked {
        let DefineStmt {
            kind: _,
            oldstyle: _,
            defnames,
            args: _,
            definition,
            if_not_exists,
            replace: _,
        } = define;
        let name = self.new_name(&dotted(defnames)?, -1)?;
        self.changes(Definitions::Anything);
        let kind = match define.kind() {
            ObjectType::ObjectAggregate => {
                self.add(Action::Code(Code::Function), name.clone(), -1);
                self.made(Made::Function, name, define.replace);
                return Ok(());
            }
            ObjectType::ObjectOperator => {
                self.add(Action::Code(Code::Operator), name, -1);
                return self.each(definition, Self::operator_option);
            }
            ObjectType::ObjectType => {
                return Err(
                    Refusal::new("CREATE TYPE of one's own form", SUPPORT).of(name.to_string())
                );
            }
            ObjectType::ObjectTsparser | ObjectType::ObjectTstemplate => {
                return Err(
                    Refusal::new("CREATE TEXT SEARCH PARSER or TEMPLATE", SUPPORT)
                        .of(name.to_string()),
                );
            }
            ObjectType::ObjectTsdictionary | ObjectType::ObjectTsconfiguration => Kind::TextSearch,
            ObjectType::ObjectCollation => Kind::Collation,
            _ => return Err(unexpected("such a definition")),
        };
        self.each(definition, |_, node| match inner(node)? {
            NodeEnum::DefElem(option) => match option.arg.as_deref().map(inner).transpose()? {
                Some(NodeEnum::List(_)) => dotted_node(given(option.arg.as_deref())?).map(drop),
                _ => Ok(()),
            },
            other => Err(misplaced(other)),
        })?;
        self.ask_to_make(kind, &name, -1);
        self.made(Made::Other, name, *if_not_exists);
        Ok(())
    }
}

/// What names of a kind stand for.
pub(super) fn made_as(kind: Kind) -> Made {
    match kind {
        Kind::Table | Kind::Index | Kind::Sequence => Made::Relation,
        Kind::Schema => Made::Schema,
        Kind::Type => Made::Type,
        Kind::Statistics | Kind::Collation | Kind::TextSearch => Made::Other,
    }
}
