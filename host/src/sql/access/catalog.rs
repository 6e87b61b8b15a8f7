//! What is known of a database's objects: an answer for each name that was asked for.

use std::collections::{BTreeSet, HashMap};

use crate::capability::Name;

/// What is known of the names that statements use, as the server resolves them on the session's search path.
///
/// A name without a schema is one that is written so. That nothing has a name is known as well.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// The schema that things are made in when none is named.
    pub default_schema: String,
    relations: Ranked<Relation>,
    functions: HashMap<Name, Vec<Routine>>,
    operators: HashMap<Name, Vec<Routine>>,
    types: Ranked<Type>,
    carried: HashMap<Name, Vec<Routine>>,
    casts: Option<Vec<UserCast>>,
}

/// A table, or something else that has columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its name, with its schema.
    pub name: Name,
    /// What it is.
    pub kind: RelationKind,
    /// Its columns in their order, without those of the system.
    pub columns: Vec<String>,
    /// The types of its columns that are not the server's, and what they are made of.
    pub types: BTreeSet<Name>,
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// A table, partitioned, foreign or neither.
    Table,
    /// A table, sequence or index of this session alone.
    Temporary,
    /// A view.
    View,
    /// A view of this session alone.
    TemporaryView,
    /// A materialized view.
    MaterializedView,
    /// A sequence.
    Sequence,
    /// An index.
    Index,
    /// A composite type.
    Composite,
    /// What the server keeps large values in, or what is not known.
    Other,
}

/// A function or operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routine {
    /// Its name, with its schema.
    pub name: Name,
    /// Whether it belongs to one of the [extensions](super::HARMLESS_EXTENSIONS) that compute and do nothing else.
    pub origin: Origin,
    /// The types of what it returns that are not the server's, and what they are made of.
    pub types: BTreeSet<Name>,
}

/// Where a function or operator comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The server itself: `pg_catalog`.
    Server,
    /// An extension that is known to be harmless.
    Harmless,
    /// Someone else.
    Other,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// Its name, with its schema.
    pub name: Name,
    /// What it is made of: the type under a domain, that of an array's elements, those of the fields of a row, and so on.
    pub parts: BTreeSet<Name>,
}

/// A cast whose function is not the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCast {
    /// The type that it takes.
    pub source: Name,
    /// The type that it makes.
    pub target: Name,
    /// The function that it calls.
    pub function: Name,
    /// When it does.
    pub occasion: Occasion,
}

/// When the server makes a cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// Where a statement says so.
    Written,
    /// Also where a value is put into a column of another type, or given to a function that takes another type.
    Fitting,
}

/// Names that must be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Of relations.
    pub relations: BTreeSet<Name>,
    /// Of functions.
    pub functions: BTreeSet<Name>,
    /// Of operators.
    pub operators: BTreeSet<Name>,
    /// Of types.
    pub types: BTreeSet<Name>,
    /// Of relations, by their whole names: what their columns and indexes call.
    pub carried: BTreeSet<Name>,
}

impl Wanted {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty()
            && self.functions.is_empty()
            && self.operators.is_empty()
            && self.types.is_empty()
            && self.carried.is_empty()
    }
}

impl Catalog {
    /// Notes that nothing has these names, until it is told otherwise: the answer to what was asked for begins so.
    pub fn expect(&mut self, wanted: &Wanted) {
        for name in &wanted.relations {
            self.relations.insert(name.clone(), None);
        }
        for name in &wanted.functions {
            self.functions.insert(name.clone(), Vec::new());
        }
        for name in &wanted.operators {
            self.operators.insert(name.clone(), Vec::new());
        }
        for name in &wanted.types {
            self.types.insert(name.clone(), None);
        }
        for name in &wanted.carried {
            self.carried.insert(name.clone(), Vec::new());
        }
        self.casts.get_or_insert_default();
    }

    /// Adds a relation that a written name may stand for: that of the lowest rank on the search path does.
    pub fn add_relation(&mut self, written: Name, relation: Relation, rank: i32) {
        add_ranked(&mut self.relations, written, relation, rank);
    }

    /// Adds one of the functions that a written name may stand for.
    pub fn add_function(&mut self, written: Name, function: Routine) {
        self.functions.entry(written).or_default().push(function);
    }

    /// Adds one of the operators that a written name may stand for.
    pub fn add_operator(&mut self, written: Name, operator: Routine) {
        self.operators.entry(written).or_default().push(operator);
    }

    /// Adds a type that a written name may stand for: that of the lowest rank on the search path does.
    pub fn add_type(&mut self, written: Name, found: Type, rank: i32) {
        add_ranked(&mut self.types, written, found, rank);
    }

    /// Adds one of the functions that the defaults, constraints, indexes and statistics of a relation call.
    pub fn add_carried(&mut self, relation: Name, function: Routine) {
        self.carried.entry(relation).or_default().push(function);
    }

    /// Adds a cast. All of them are told at once.
    pub fn add_cast(&mut self, cast: UserCast) {
        let casts = self.casts.get_or_insert_default();
        if !casts.contains(&cast) {
            casts.push(cast);
        }
    }

    /// What is known of a relation; `None` when it was not asked for.
    pub fn relation(&self, written: &Name) -> Option<Option<&Relation>> {
        ranked(&self.relations, written)
    }

    /// The functions of a name; `None` when it was not asked for.
    pub fn functions(&self, written: &Name) -> Option<&[Routine]> {
        self.functions.get(written).map(Vec::as_slice)
    }

    /// The operators of a name; `None` when it was not asked for.
    pub fn operators(&self, written: &Name) -> Option<&[Routine]> {
        self.operators.get(written).map(Vec::as_slice)
    }

    /// What is known of a type; `None` when it was not asked for.
    pub fn r#type(&self, written: &Name) -> Option<Option<&Type>> {
        ranked(&self.types, written)
    }

    /// What the defaults, constraints, indexes and statistics of a relation call; `None` when it was not asked for.
    pub fn carried(&self, relation: &Name) -> Option<&[Routine]> {
        self.carried.get(relation).map(Vec::as_slice)
    }

    /// The casts of others; none when nothing was asked for yet.
    pub fn casts(&self) -> &[UserCast] {
        self.casts.as_deref().unwrap_or_default()
    }

    /// Forgets what relations and types there are, and what is told by their names.
    pub fn forget_relations(&mut self) {
        self.relations.clear();
        self.types.clear();
        self.carried.clear();
        let names_no_type = |_: &Name, routines: &mut Vec<Routine>| {
            routines.iter().all(|routine| routine.types.is_empty())
        };
        self.functions.retain(names_no_type);
        self.operators.retain(names_no_type);
        self.casts = None;
    }

    /// Whether anything was asked for yet.
    pub fn is_known(&self) -> bool {
        self.casts.is_some()
    }
}

type Ranked<T> = HashMap<Name, Option<(i32, T)>>;

fn add_ranked<T>(all: &mut Ranked<T>, written: Name, one: T, rank: i32) {
    let there = all.entry(written).or_insert(None);
    if there.as_ref().is_none_or(|(before, _)| rank < *before) {
        *there = Some((rank, one));
    }
}

fn ranked<'a, T>(all: &'a Ranked<T>, written: &Name) -> Option<Option<&'a T>> {
    let found = all.get(written)?;
    Some(found.as_ref().map(|(_, one)| one))
}
