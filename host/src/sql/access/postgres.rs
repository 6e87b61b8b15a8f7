//! PostgreSQL's statements, as its own parser reads them.
//!
//! The structs of the tree are taken apart field by field, without `..`, where a field can hold a name: what a newer
//! parser adds does not compile until someone has looked at it. A node where none is expected is refused by its kind.

mod alter_table;
mod calls;
mod code;
mod columns;
mod definitions;
mod drops;
mod expressions;
mod from;
mod functions;
mod json;
mod kinds;
mod names;
mod objects;
mod queries;
mod rights;
mod rows;
mod scope;
mod statements;
mod tables;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use pg_query::protobuf::{self, Node};

use super::{
    Change, Context, Definitions, Found, LONGEST, Literals, Outcome, Reading, Refusal, Wanted,
};
use crate::capability::{Access, Action, Columns, Name};
use crate::driver::Dialect;
use crate::sql::guard;
use crate::sql::{Lexer, TokenKind};
use kinds::kind;
use names::Freedom;
use scope::{Level, TableUse};

/// The result of walking a part: whether to go on.
type Walked = Result<(), Refusal>;

/// How deep parentheses may nest, and how many tokens may stand between two commas: the parser's own stack grows with
/// them, and it does not look everywhere.
const DEEPEST: usize = 4_000;

/// How many comments may nest, and how many characters of operators may stand together: the parser's own work grows with
/// their square and their cube.
const LONGEST_RUN: usize = 64;

/// How many times a column may be looked for in a table, for one statement.
const MOST_WORK: usize = 2_000_000;

/// A statement that has been parsed.
#[derive(Debug)]
pub struct Parsed {
    statement: NodeEnum,
}

impl Parsed {
    /// Parses one statement.
    ///
    /// # Errors
    /// A [`Refusal`] for what the parser does not take, for more than one statement, and for what is too long or nested
    /// too deeply to be read.
    pub fn new(sql: &str) -> Result<Option<Self>, Refusal> {
        if sql.len() > LONGEST {
            return Err(Refusal::new(
                "a statement that cannot be checked",
                format!(
                    "it has {} bytes, and only {LONGEST} are read; send data as parameters",
                    sql.len()
                ),
            ));
        }
        if depth(sql) > DEEPEST {
            return Err(too_deep());
        }
        // The crate takes some shapes of the tree for granted.
        let parsed = std::panic::catch_unwind(|| pg_query::parse(sql, 0)).map_err(|_| {
            Refusal::new(
                "a statement that cannot be checked",
                "the parser gave up on it",
            )
        })?;
        let parsed = parsed.map_err(|error| match error {
            pg_query::Error::Parse(message) => Refusal::syntax(message),
            pg_query::Error::Decode(_) => too_deep(),
            other => Refusal::new("a statement that cannot be checked", other.to_string()),
        })?;
        let mut statements = parsed.protobuf.stmts.into_iter();
        let first = statements.next();
        if statements.next().is_some() {
            return Err(Refusal::new(
                "more than one statement",
                "send them one by one",
            ));
        }
        let Some(statement) = first else {
            return Ok(None);
        };
        match statement.stmt.and_then(|node| node.node) {
            Some(statement) => Ok(Some(Self { statement })),
            None => Err(unexpected("an empty node")),
        }
    }

    /// Walks it.
    ///
    /// # Errors
    /// A [`Refusal`] for what no grant allows.
    pub fn read(&self, context: &Context<'_>) -> Result<Outcome, Refusal> {
        let mut walker = Walker::new(context);
        walker.statement(&self.statement)?;
        Ok(walker.finish())
    }
}

/// How deep the tree can be at most: the sum, over the open parentheses, of the tokens since the last comma.
fn depth(sql: &str) -> usize {
    let (mut deepest, mut depth) = (0, 0_usize);
    let mut outer = Vec::new();
    let (mut run, mut end) = (0, 0);
    for token in Lexer::new(sql, Dialect::Postgresql).map_while(Result::ok) {
        run = match token.kind {
            TokenKind::Symbol if token.offset == end => run + 1,
            TokenKind::Comment => token.text.matches("/*").count(),
            _ => 0,
        };
        end = token.end();
        if run > LONGEST_RUN {
            return usize::MAX;
        }
        match token.kind {
            TokenKind::Comment => continue,
            TokenKind::Open => {
                outer.push(depth);
                depth += 1;
            }
            TokenKind::Close => depth = outer.pop().unwrap_or(0) + 1,
            TokenKind::Symbol if token.text == "," => depth = outer.last().copied().unwrap_or(0),
            TokenKind::Symbol if token.text == "[" => depth += 1,
            _ if token.is_word("and") || token.is_word("or") || token.is_word("when") => {
                // These make one list however long they go on, unless something else stands between them.
            }
            _ => depth += 1,
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn too_deep() -> Refusal {
    Refusal::new(
        "a statement that cannot be checked",
        "it is nested too deeply; take it apart",
    )
}

fn unexpected(what: &str) -> Refusal {
    Refusal::new(
        "a statement that cannot be checked",
        format!("`{what}` is not expected where it stands"),
    )
}

/// Walks the tree of one statement.
struct Walker<'a> {
    context: &'a Context<'a>,
    wanted: Wanted,
    found: Vec<Found>,
    /// The tables that are read or written, each time that one is named.
    uses: Vec<TableUse>,
    levels: Vec<Level>,
    /// The types that are named, as they are written.
    named_types: BTreeSet<Name>,
    /// Types that values in the statement may have, the server's own aside.
    types: BTreeSet<Name>,
    changes: Vec<Change>,
    literals: Literals,
    definitions: Definitions,
    /// How many calls were found of what is not known to be harmless.
    calls: usize,
    /// How often a column was looked for in a table.
    work: usize,
    /// The number of columns of the widest table.
    widest: usize,
}

impl<'a> Walker<'a> {
    fn new(context: &'a Context<'a>) -> Self {
        Self {
            context,
            wanted: Wanted::default(),
            found: Vec::new(),
            uses: Vec::new(),
            levels: Vec::new(),
            named_types: BTreeSet::new(),
            types: BTreeSet::new(),
            changes: Vec::new(),
            literals: Literals::Immaterial,
            definitions: Definitions::Kept,
            calls: 0,
            work: 0,
            widest: 0,
        }
    }

    fn finish(mut self) -> Outcome {
        self.fitting_casts();
        if !self.context.catalog.is_known() || !self.wanted.is_empty() {
            return Outcome::Ask(self.wanted);
        }
        let uses = std::mem::take(&mut self.uses);
        for used in uses {
            let TableUse {
                name,
                real: _,
                at,
                read,
                freedom,
                columns,
            } = used;
            if read && freedom == Freedom::Asked {
                self.found.push(Found {
                    access: Access::new(Action::Select, name).with_columns(columns),
                    at,
                });
            }
        }
        let mut accesses: Vec<Found> = Vec::new();
        for found in self.found {
            let same = |there: &&mut Found| {
                there.access.action == found.access.action
                    && there.access.object == found.access.object
            };
            match accesses.iter_mut().find(same) {
                Some(there) => there.access.columns.join(&found.access.columns),
                None => accesses.push(found),
            }
        }
        Outcome::Read(Reading {
            accesses,
            changes: self.changes,
            literals: self.literals,
            definitions: self.definitions,
        })
    }

    fn add(&mut self, action: Action, object: Name, at: i32) {
        self.add_columns(action, object, Columns::All, at);
    }

    fn add_columns(&mut self, action: Action, object: Name, columns: Columns, at: i32) {
        let access = Access {
            action,
            object,
            columns,
        };
        self.found.push(Found {
            access,
            at: usize::try_from(at).ok().filter(|at| *at > 0),
        });
    }

    fn change(&mut self, change: Change) {
        self.changes(Definitions::Relations);
        self.changes.push(change);
    }

    /// Notes what the statement may do to the names of the catalog.
    fn changes(&mut self, definitions: Definitions) {
        self.definitions = self.definitions.max(definitions);
    }

    /// Counts work that may grow with the square of a statement's length.
    fn spend(&mut self, work: usize) -> Walked {
        self.work = self.work.saturating_add(work);
        if self.work > MOST_WORK {
            return Err(Refusal::new(
                "a statement that cannot be checked",
                "it names too many columns of too many tables; take it apart",
            ));
        }
        Ok(())
    }

    /// Refuses names of Whimbrel's.
    fn own(&self, name: &str, at: i32) -> Walked {
        if self.context.protected.covers(name) {
            return Err(Refusal::new("access", "the name belongs to Whimbrel")
                .of(name)
                .at(at));
        }
        Ok(())
    }

    /// Refuses texts that name what is Whimbrel's, as bodies of functions do.
    fn own_in_text(&mut self, text: &str) -> Walked {
        self.literals = Literals::Telling;
        guard::protected_name(text, Dialect::Postgresql, self.context.protected)
            .map_or(Ok(()), |name| self.own(&name, 0))
    }

    fn each<'n>(
        &mut self,
        nodes: impl IntoIterator<Item = &'n Node>,
        mut walk: impl FnMut(&mut Self, &'n Node) -> Walked,
    ) -> Walked {
        nodes.into_iter().try_for_each(|node| walk(self, node))
    }
}

/// What a node is; a node without one is none.
fn inner(node: &Node) -> Result<&NodeEnum, Refusal> {
    node.node
        .as_ref()
        .ok_or_else(|| unexpected("an empty node"))
}

fn misplaced(node: &NodeEnum) -> Refusal {
    unexpected(kind(node))
}

/// The text of a node that is a name.
fn text(node: &Node) -> Result<&str, Refusal> {
    match inner(node)? {
        NodeEnum::String(protobuf::String { sval }) => Ok(sval),
        other => Err(misplaced(other)),
    }
}
