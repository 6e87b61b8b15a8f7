//! What runs later, for others: functions, triggers, rules, policies, views, casts and operators.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterFunctionStmt, AlterPolicyStmt, CreateCastStmt, CreateExtensionStmt, CreateFunctionStmt,
    CreateOpClassItem, CreatePolicyStmt, CreateTrigStmt, DefElem, FunctionParameter, Node,
    ReturnStmt, RuleStmt, VariableSetKind, ViewStmt,
};

use super::names::{dotted, given, written};
use super::scope::Level;
use super::{Refusal, Walked, Walker, inner, misplaced, unexpected};
use crate::capability::{Action, Code, Name};
use crate::sql::access::{Definitions, Made, Origin, known};

impl Walker<'_> {
    pub(super) fn create_function(&mut self, create: &CreateFunctionStmt) -> Walked {
        let CreateFunctionStmt {
            is_procedure: _,
            replace,
            funcname,
            parameters,
            return_type,
            options,
            sql_body,
        } = create;
        let written = dotted(funcname)?;
        let name = self.new_name(&written, -1)?;
        self.add(Action::Code(Code::Function), name.clone(), -1);
        let mut names = Vec::new();
        self.each(parameters, |walker, node| match inner(node)? {
            NodeEnum::FunctionParameter(parameter) => {
                let FunctionParameter {
                    name,
                    arg_type,
                    mode: _,
                    defexpr,
                    location: _,
                } = &**parameter;
                names.push(name.clone());
                walker.type_name(arg_type.as_ref())?;
                walker.maybe(defexpr.as_deref())
            }
            other => Err(misplaced(other)),
        })?;
        self.type_name(return_type.as_ref())?;
        self.function_options(options)?;
        if let Some(body) = sql_body {
            self.beside(&name, names, |walker| walker.body(body))?;
        }
        // Whether there is one of the name and these arguments already is not asked for.
        let is_there = *replace && self.is_there_as_function(&name);
        self.made(Made::Function, name, is_there);
        Ok(())
    }

    fn is_there_as_function(&mut self, name: &Name) -> bool {
        match self.context.catalog.functions(name) {
            Some(functions) => functions
                .iter()
                .any(|function| function.origin != Origin::Server),
            None => {
                self.wanted.functions.insert(name.clone());
                true
            }
        }
    }

    /// The body of a function that the server parses is checked as if it ran.
    fn body(&mut self, node: &Node) -> Walked {
        match inner(node)? {
            NodeEnum::List(list) => self.each(&list.items, Self::body),
            NodeEnum::ReturnStmt(returned) => {
                let ReturnStmt { returnval } = &**returned;
                self.maybe(returnval.as_deref())
            }
            NodeEnum::SelectStmt(select) => self.select(select).map(drop),
            writing => self.writing(writing).map(drop),
        }
    }

    fn function_options(&mut self, options: &[Node]) -> Walked {
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
                match defname.as_str() {
                    "as" => match inner(given(arg.as_deref())?)? {
                        NodeEnum::List(list) => walker.each(&list.items, |walker, text| {
                            walker.own_in_text(super::text(text)?)
                        }),
                        other => Err(misplaced(other)),
                    },
                    "language" => match inner(given(arg.as_deref())?)? {
                        NodeEnum::String(language)
                            if ["sql", "plpgsql"].contains(&language.sval.as_str()) =>
                        {
                            Ok(())
                        }
                        NodeEnum::String(language) => Err(Refusal::new(
                            "a function in such a language",
                            "only `sql` and `plpgsql` stay inside of the database",
                        )
                        .of(language.sval.clone())
                        .at(*location)),
                        other => Err(misplaced(other)),
                    },
                    "security" | "support" => match inner(given(arg.as_deref())?)? {
                        NodeEnum::Boolean(_) => Ok(()),
                        _ => Err(Refusal::new(
                            "SUPPORT",
                            "only the server's own functions have one",
                        )),
                    },
                    // ALTER FUNCTION … SET, and what a function sets for itself.
                    "set" => match inner(given(arg.as_deref())?)? {
                        // What a function no longer sets, whoever calls it does.
                        NodeEnum::VariableSetStmt(set)
                            if set.kind() == VariableSetKind::VarResetAll
                                || known::is_settable(&set.name) =>
                        {
                            Ok(())
                        }
                        NodeEnum::VariableSetStmt(set) => {
                            Err(Refusal::new("SET of a function", known::NOT_SETTABLE)
                                .of(set.name.clone())
                                .at(*location))
                        }
                        other => Err(misplaced(other)),
                    },
                    "volatility" | "strict" | "leakproof" | "cost" | "rows" | "parallel"
                    | "window" => Ok(()),
                    _ => Err(unexpected("such an option of a function")),
                }
            }
            other => Err(misplaced(other)),
        })
    }

    pub(super) fn alter_function(&mut self, alter: &AlterFunctionStmt) -> Walked {
        let AlterFunctionStmt {
            objtype: _,
            func,
            actions,
        } = alter;
        let name = dotted(&given(func.as_ref())?.objname)?;
        self.ask_for_code(Code::Function, &name)?;
        self.function_options(actions)
    }

    /// Asks for the right to change a function or operator; tells its name as the database has it.
    pub(super) fn ask_for_code(&mut self, code: Code, written: &Name) -> Result<Name, Refusal> {
        self.own(&written.name, -1)?;
        self.changes(Definitions::Anything);
        let real = match code {
            Code::Function => self.function_there(written),
            _ => self.whole(written),
        };
        if real
            .schema
            .as_deref()
            .is_some_and(super::names::is_system_schema)
        {
            return Err(Refusal::new("change", "it belongs to the server").of(real.to_string()));
        }
        if !self.context.changes.has_made(Made::Function, &real) {
            let original = self
                .context
                .changes
                .original_in_schema(Made::Function, &real);
            self.add(Action::Code(code), original, -1);
        }
        Ok(real)
    }

    /// The function that a statement is about, which is not the server's.
    pub(super) fn function_named(&mut self, written: &Name) -> Result<Name, Refusal> {
        self.own(&written.name, -1)?;
        let name = self.function_there(written);
        if name
            .schema
            .as_deref()
            .is_some_and(super::names::is_system_schema)
        {
            return Err(Refusal::new("change", "it belongs to the server").of(name.to_string()));
        }
        Ok(name)
    }

    /// The function of others that a name stands for; the server takes the first on its path.
    fn function_there(&mut self, written: &Name) -> Name {
        match self.context.catalog.functions(written) {
            Some(functions) => functions
                .iter()
                .find(|function| function.origin != Origin::Server)
                .map_or_else(|| self.whole(written), |function| function.name.clone()),
            None => {
                self.wanted.functions.insert(written.clone());
                self.whole(written)
            }
        }
    }

    pub(super) fn create_trigger(&mut self, create: &CreateTrigStmt) -> Walked {
        let CreateTrigStmt {
            replace: _,
            isconstraint: _,
            trigname,
            relation,
            funcname,
            args: _,
            row: _,
            timing: _,
            events: _,
            columns: _,
            when_clause,
            transition_rels: _,
            deferrable: _,
            initdeferred: _,
            constrrel,
        } = create;
        self.own(trigname, -1)?;
        let target = self.target_to_change(given(relation.as_ref())?)?;
        self.code_on(Code::Trigger, &target);
        self.changes(Definitions::Anything);
        if let Some(other) = constrrel {
            let other = self.target_to_change(other)?;
            self.ask(Action::Select, &other, Self::no_columns());
        }
        // The server's own trigger functions (`suppress_redundant_updates_trigger`) do no more than they say.
        self.called_later(&dotted(funcname)?)?;
        let item = target.columns.clone().unwrap_or_default();
        self.beside(&Name::bare("new"), item.clone(), |walker| {
            let old = Self::made_item(Some("old".to_owned()), Some(item), 0..0);
            walker.level().items.push(old);
            walker.maybe(when_clause.as_deref())
        })
    }

    /// A function that something will call: as if it were called here.
    pub(super) fn called_later(&mut self, function: &Name) -> Walked {
        const OWN_TRIGGERS: [&str; 3] = [
            "suppress_redundant_updates_trigger",
            "tsvector_update_trigger",
            "tsvector_update_trigger_column",
        ];
        let is_known = OWN_TRIGGERS.contains(&function.name.as_str())
            && function
                .schema
                .as_deref()
                .is_none_or(|schema| schema == "pg_catalog");
        if is_known {
            Ok(())
        } else {
            self.call(function, -1)
        }
    }

    pub(super) fn create_rule(&mut self, rule: &RuleStmt) -> Walked {
        let RuleStmt {
            relation,
            rulename: _,
            where_clause,
            event: _,
            instead: _,
            actions,
            replace: _,
        } = rule;
        let target = self.target_to_change(given(relation.as_ref())?)?;
        self.code_on(Code::Rule, &target);
        self.changes(Definitions::Anything);
        let columns = target.columns.clone().unwrap_or_default();
        self.beside(&Name::bare("new"), columns.clone(), |walker| {
            let old = Self::made_item(Some("old".to_owned()), Some(columns), 0..0);
            walker.level().items.push(old);
            walker.maybe(where_clause.as_deref())?;
            walker.each(actions, |walker, action| match inner(action)? {
                NodeEnum::NotifyStmt(_) => Err(Refusal::new(
                    "NOTIFY",
                    "a component may not talk to other sessions",
                )),
                NodeEnum::SelectStmt(select) => walker.select(select).map(drop),
                writing => walker.writing(writing).map(drop),
            })
        })
    }

    pub(super) fn create_policy(&mut self, create: &CreatePolicyStmt) -> Walked {
        let CreatePolicyStmt {
            policy_name: _,
            table,
            cmd_name: _,
            permissive: _,
            roles: _,
            qual,
            with_check,
        } = create;
        self.policy(given(table.as_ref())?, [qual, with_check])
    }

    pub(super) fn alter_policy(&mut self, alter: &AlterPolicyStmt) -> Walked {
        let AlterPolicyStmt {
            policy_name: _,
            table,
            roles: _,
            qual,
            with_check,
        } = alter;
        self.policy(given(table.as_ref())?, [qual, with_check])
    }

    fn policy(
        &mut self,
        table: &pg_query::protobuf::RangeVar,
        expressions: [&Option<Box<Node>>; 2],
    ) -> Walked {
        let target = self.target_to_change(table)?;
        self.code_on(Code::Policy, &target);
        self.changes(Definitions::Anything);
        let columns = target.columns.clone().unwrap_or_default();
        let name = target.real.clone();
        self.beside(&name, columns, |walker| {
            expressions
                .into_iter()
                .try_for_each(|expression| walker.maybe(expression.as_deref()))
        })
    }

    pub(super) fn create_view(&mut self, create: &ViewStmt) -> Walked {
        let ViewStmt {
            view,
            aliases: _,
            query,
            replace,
            options,
            with_check_option: _,
        } = create;
        let range = given(view.as_ref())?;
        // What the view shows needs the right to see it.
        let outside = std::mem::replace(&mut self.levels, vec![Level::default()]);
        let walked = self.subquery(given(query.as_deref())?).map(drop);
        self.levels = outside;
        walked?;
        self.plain_options(options)?;
        self.changes(Definitions::Anything);
        if Self::is_temporary(range) {
            return self.own(&range.relname, range.location);
        }
        let name = self.new_name(&written(range), range.location)?;
        self.add(Action::Code(Code::View), name.clone(), range.location);
        self.made(Made::Relation, name, *replace);
        Ok(())
    }

    pub(super) fn create_cast(&mut self, create: &CreateCastStmt) -> Walked {
        let CreateCastStmt {
            sourcetype,
            targettype,
            func,
            context: _,
            inout: _,
        } = create;
        let source = given(sourcetype.as_ref())?;
        self.type_name(Some(source))?;
        self.type_given(targettype.as_ref())?;
        let name = self.whole(&dotted(&source.names)?);
        self.add(Action::Code(Code::Cast), name, -1);
        self.changes(Definitions::Anything);
        match func {
            Some(function) => self.called_later(&dotted(&function.objname)?),
            None => Ok(()),
        }
    }

    pub(super) fn code_operator(&mut self, name: &[Node]) -> Walked {
        self.ask_for_code(Code::Operator, &dotted(name)?).map(drop)
    }

    /// What is called by an index that goes by an operator class.
    pub(super) fn class_item(&mut self, node: &Node) -> Walked {
        const OPERATOR: i32 = 1;
        const FUNCTION: i32 = 2;
        let NodeEnum::CreateOpClassItem(item) = inner(node)? else {
            return Err(misplaced(inner(node)?));
        };
        let CreateOpClassItem {
            itemtype,
            name,
            number: _,
            order_family: _,
            class_args,
            storedtype,
        } = item;
        self.each(class_args, |walker, node| match inner(node)? {
            NodeEnum::TypeName(name) => walker.type_name(Some(name)),
            other => Err(misplaced(other)),
        })?;
        self.type_name(storedtype.as_ref())?;
        match (*itemtype, name) {
            (OPERATOR, Some(name)) => self.operator(&name.objname, -1),
            (FUNCTION, Some(name)) => self.support(&dotted(&name.objname)?),
            _ => Ok(()),
        }
    }

    /// A function that indexes call. The server's own for that are in no list.
    fn support(&mut self, function: &Name) -> Walked {
        let is_free = function
            .schema
            .as_deref()
            .is_none_or(|schema| schema == "pg_catalog")
            && !known::is_forbidden_function(&function.name);
        match is_free {
            true => {
                self.overloads(function, -1);
                Ok(())
            }
            false => self.call(function, -1),
        }
    }

    pub(super) fn create_extension(&mut self, create: &CreateExtensionStmt) -> Walked {
        let CreateExtensionStmt {
            extname,
            if_not_exists: _,
            options,
        } = create;
        self.add(Action::Extension, Name::bare(extname.clone()), -1);
        self.changes(Definitions::Anything);
        self.each(options, |_, node| match inner(node)? {
            NodeEnum::DefElem(option)
                if ["schema", "new_version"].contains(&option.defname.as_str()) =>
            {
                Ok(())
            }
            NodeEnum::DefElem(_) => Err(Refusal::new(
                "CREATE EXTENSION … CASCADE",
                "each extension is asked for by its name",
            )),
            other => Err(misplaced(other)),
        })
    }
}
