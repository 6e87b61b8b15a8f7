//! Calls of functions, with what some of them are told by their arguments.

use pg_query::NodeEnum;
use pg_query::protobuf::{AConst, CoercionForm, FuncCall, Node, TypeCast, a_const};

use super::names::dotted;
use super::{Refusal, Walked, Walker, inner};
use crate::capability::{Action, Columns, Name};
use crate::sql::access::{Literals, known};
use std::collections::BTreeSet;

/// Functions of sequences: the right that each needs.
const SEQUENCES: [(&str, Action); 3] = [
    ("nextval", Action::Update),
    ("setval", Action::Update),
    ("currval", Action::Select),
];

impl Walker<'_> {
    pub(super) fn function_call(&mut self, call: &FuncCall) -> Walked {
        let FuncCall {
            funcname,
            args,
            agg_order,
            agg_filter,
            over,
            agg_within_group: _,
            agg_star: _,
            agg_distinct: _,
            func_variadic: _,
            funcformat: _,
            location,
        } = call;
        self.each(args, Self::expression)?;
        self.sorted(agg_order)?;
        self.maybe(agg_filter.as_deref())?;
        if let Some(window) = over {
            self.window(window)?;
        }
        let name = dotted(funcname)?;
        if call.funcformat() == CoercionForm::CoerceSqlSyntax {
            // Older servers read some of these words as the name of a column or of a function of someone's.
            self.word(&name.name, args)?;
        }
        let of_server = matches!(name.schema.as_deref(), None | Some("pg_catalog"));
        if of_server {
            if let Some((_, action)) = SEQUENCES.iter().find(|(known, _)| *known == name.name) {
                self.overloads(&name, *location);
                return self.sequence(&name.name, *action, args, *location);
            }
            if name.name == "current_setting" {
                self.overloads(&name, *location);
                return self.setting(args, *location);
            }
        }
        self.call(&name, *location)
    }

    fn word(&mut self, name: &str, args: &[Node]) -> Walked {
        if name == "system_user" && args.is_empty() {
            return self.old_column(name);
        }
        Ok(())
    }

    /// Functions of sequences name their sequence by a text.
    fn sequence(&mut self, function: &str, action: Action, args: &[Node], at: i32) -> Walked {
        self.literals = Literals::Telling;
        let named = args.first().and_then(constant).filter(|text| {
            // Digits would be the oid of any relation.
            !text.trim().is_empty()
                && !text
                    .trim_start()
                    .starts_with(|c: char| c.is_ascii_digit() || c == '-')
        });
        let Some(written) = named.and_then(identifiers) else {
            return Err(Refusal::new(
                function,
                "the sequence must be named by a constant, as in nextval('orders_id_seq')",
            )
            .at(at));
        };
        let target = self.target(&written, at)?;
        target.refuse_system()?;
        self.ask(action, &target, Columns::Some(BTreeSet::new()));
        Ok(())
    }

    fn setting(&mut self, args: &[Node], at: i32) -> Walked {
        self.literals = Literals::Telling;
        match args.first().and_then(constant) {
            Some(name)
                if known::is_open_setting(name)
                    || name.contains('.') && !self.context.protected.covers(name) =>
            {
                Ok(())
            }
            Some(name) => Err(
                Refusal::new("current_setting", "the setting tells of the server")
                    .of(name)
                    .at(at),
            ),
            None => Err(
                Refusal::new("current_setting", "the setting must be named by a constant").at(at),
            ),
        }
    }
}

/// The text of a constant, with or without a cast to what names sequences.
fn constant(node: &Node) -> Option<&str> {
    match inner(node).ok()? {
        NodeEnum::AConst(AConst {
            val: Some(a_const::Val::Sval(text)),
            ..
        }) => Some(&text.sval),
        NodeEnum::TypeCast(cast) => {
            let TypeCast {
                arg,
                type_name,
                location: _,
            } = &**cast;
            let name = dotted(&type_name.as_ref()?.names).ok()?;
            let is_plain = matches!(name.schema.as_deref(), None | Some("pg_catalog"))
                && ["regclass", "text", "name"].contains(&name.name.as_str());
            constant(arg.as_deref().filter(|_| is_plain)?)
        }
        _ => None,
    }
}

/// The dotted name in a text, as `regclass` reads it.
fn identifiers(text: &str) -> Option<Name> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut name = String::new();
                let mut rest = quoted;
                loop {
                    let (before, after) = rest.split_once('"')?;
                    name.push_str(before);
                    match after.strip_prefix('"') {
                        Some(more) => {
                            name.push('"');
                            rest = more;
                        }
                        None => break (name, after),
                    }
                }
            }
            None => {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                    .unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                (name.to_ascii_lowercase(), after)
            }
        };
        if part.is_empty() || part.len() > 63 {
            return None;
        }
        parts.push(part);
        rest = after.trim_start();
        match rest.strip_prefix('.') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => break,
            None => return None,
        }
    }
    match parts.as_slice() {
        [name] => Some(Name::bare(name)),
        [schema, name] => Some(Name::new(schema, name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Name, identifiers};

    #[test]
    fn names_in_texts_are_read_as_regclass_does() {
        for (text, schema, name) in [
            ("S", None, "s"),
            (" a . B ", Some("a"), "b"),
            ("\"A b\".\"c\"\"d\"", Some("A b"), "c\"d"),
            ("x$1", None, "x$1"),
        ] {
            let wanted = Name {
                schema: schema.map(str::to_owned),
                name: name.to_owned(),
            };
            assert_eq!(identifiers(text), Some(wanted), "{text}");
        }
        for text in ["", "a.", "a b", "a.b.c.d", "\"a", "a-b", "a.b.c"] {
            assert_eq!(identifiers(text), None, "{text}");
        }
    }
}
