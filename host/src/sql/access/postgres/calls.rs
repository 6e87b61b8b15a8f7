//! Functions and operators: which of them a grant must name.

use pg_query::protobuf::Node;

use super::names::dotted;
use super::{Refusal, Walked, Walker};
use crate::capability::{Action, Name};
use crate::sql::access::{Definitions, Made, Origin, Routine, known};

impl Walker<'_> {
    /// A call of whatever a written name may stand for.
    pub(super) fn call(&mut self, written: &Name, at: i32) -> Walked {
        self.own(&written.name, at)?;
        if written.name.starts_with("dblink")
            || (of_server(written) && known::is_forbidden_function(&written.name))
        {
            return Err(Refusal::new(
                format!("{}()", written.name),
                "no grant allows it: it runs texts, waits, or reaches beyond the transaction",
            )
            .of(written.to_string())
            .at(at));
        }
        match written.schema.as_deref() {
            Some("pg_catalog") => {
                if !known::is_safe_function(&written.name) {
                    self.call_of(written.clone(), at);
                }
            }
            Some(_) => {
                // One that is not there is refused by the server.
                for function in self.functions(written) {
                    self.call_routine(&function, Made::Function, at);
                }
            }
            None => {
                let all = self.functions(written);
                let is_builtin = all.iter().any(|function| function.origin == Origin::Server);
                if is_builtin && !known::is_safe_function(&written.name) {
                    self.call_of(Name::new("pg_catalog", written.name.clone()), at);
                }
                for function in all {
                    self.call_routine(&function, Made::Function, at);
                }
                if !is_builtin {
                    // A type's name calls a cast to it.
                    self.cast_to_named(written);
                }
            }
        }
        Ok(())
    }

    /// Functions of others that a written name may stand for, beside the server's own.
    pub(super) fn overloads(&mut self, written: &Name, at: i32) {
        if written.schema.is_none() {
            for function in self.functions(written) {
                self.call_routine(&function, Made::Function, at);
            }
        }
    }

    /// What the parser knows by a word may be a function of someone's on a server that does not know the word.
    pub(super) fn keyword_function(&mut self, name: &str) -> Walked {
        self.overloads(&Name::bare(name), -1);
        Ok(())
    }

    fn functions(&mut self, written: &Name) -> Vec<Routine> {
        match self.context.catalog.functions(written) {
            Some(functions) => functions.to_vec(),
            None => {
                self.wanted.functions.insert(written.clone());
                Vec::new()
            }
        }
    }

    fn call_routine(&mut self, routine: &Routine, made: Made, at: i32) {
        self.types.extend(routine.types.iter().cloned());
        match routine.origin {
            Origin::Server | Origin::Harmless => {}
            Origin::Other => {
                let original = self.context.changes.original_in_schema(made, &routine.name);
                if self.context.changes.has_made(made, &routine.name) {
                    self.calls += 1;
                    self.changes(Definitions::Anything);
                } else {
                    self.call_of(original, at);
                }
            }
        }
    }

    /// What is called may do anything, even to the names of the catalog.
    pub(super) fn call_of(&mut self, function: Name, at: i32) {
        self.calls += 1;
        self.changes(Definitions::Anything);
        self.add(Action::Call, function, at);
    }

    /// An operator as it is written; none where the list is empty.
    pub(super) fn operator(&mut self, written: &[Node], at: i32) -> Walked {
        if written.is_empty() {
            return Ok(());
        }
        let written = dotted(written)?;
        self.operator_written(&written, at);
        Ok(())
    }

    /// An operator that the grammar names by itself.
    pub(super) fn operator_named(&mut self, name: &str, at: i32) {
        self.operator_written(&Name::bare(name), at);
    }

    fn operator_written(&mut self, written: &Name, at: i32) {
        if written.schema.as_deref() == Some("pg_catalog") {
            return;
        }
        let operators = match self.context.catalog.operators(written) {
            Some(operators) => operators.to_vec(),
            None => {
                self.wanted.operators.insert(written.clone());
                Vec::new()
            }
        };
        for operator in operators {
            self.call_routine(&operator, Made::Function, at);
        }
    }
}

/// Whether a name may be that of one of the server's own functions.
fn of_server(written: &Name) -> bool {
    matches!(written.schema.as_deref(), None | Some("pg_catalog"))
}
