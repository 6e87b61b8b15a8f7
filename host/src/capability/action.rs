//! What can be done to objects of a database.

use std::fmt;

/// What a statement does to an object, or a capability allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Read rows.
    Select,
    /// Add rows.
    Insert,
    /// Change rows; lock them as well.
    Update,
    /// Remove rows.
    Delete,
    /// Remove all rows at once.
    Truncate,
    /// Add, change or remove rows: which of them cannot be told. Only what is observed says so; any of the three covers it.
    Write,
    /// Move rows in bulk, by the host's COPY.
    Copy,
    /// Make an object. The object of an index is its table.
    Create(Kind),
    /// Change the definition of an object.
    Alter(Kind),
    /// Remove an object.
    Drop(Kind),
    /// Make, change or remove what runs later, for others.
    Code(Code),
    /// Give or take the rights of others.
    Grant,
    /// Call a function that is not known to be harmless.
    Call,
    /// Make, change or remove an extension.
    Extension,
}

/// A kind of object that holds data or describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A table, partitioned or not.
    Table,
    /// An index.
    Index,
    /// A sequence.
    Sequence,
    /// A schema.
    Schema,
    /// A type: enum, composite, range or domain.
    Type,
    /// Extended statistics.
    Statistics,
    /// A collation.
    Collation,
    /// A text search configuration, dictionary, parser or template.
    TextSearch,
}

/// A kind of object that is code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A function, procedure or aggregate.
    Function,
    /// A trigger; the object is its table.
    Trigger,
    /// A rule; the object is its table.
    Rule,
    /// A policy of row-level security; the object is its table.
    Policy,
    /// A view, materialized or not.
    View,
    /// An expression that calls what is not known to be harmless: a default, a generated column, a check, an index. The
    /// object is its table or its type.
    Default,
    /// A cast; the object is its source type.
    Cast,
    /// An operator, operator class or operator family.
    Operator,
}

impl Action {
    /// All of them, as capabilities can name them.
    pub(super) const NAMED: [Self; 41] = [
        Self::Select,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Truncate,
        Self::Copy,
        Self::Create(Kind::Table),
        Self::Create(Kind::Index),
        Self::Create(Kind::Sequence),
        Self::Create(Kind::Schema),
        Self::Create(Kind::Type),
        Self::Create(Kind::Statistics),
        Self::Create(Kind::Collation),
        Self::Create(Kind::TextSearch),
        Self::Alter(Kind::Table),
        Self::Alter(Kind::Index),
        Self::Alter(Kind::Sequence),
        Self::Alter(Kind::Schema),
        Self::Alter(Kind::Type),
        Self::Alter(Kind::Statistics),
        Self::Alter(Kind::Collation),
        Self::Alter(Kind::TextSearch),
        Self::Drop(Kind::Table),
        Self::Drop(Kind::Index),
        Self::Drop(Kind::Sequence),
        Self::Drop(Kind::Schema),
        Self::Drop(Kind::Type),
        Self::Drop(Kind::Statistics),
        Self::Drop(Kind::Collation),
        Self::Drop(Kind::TextSearch),
        Self::Code(Code::Function),
        Self::Code(Code::Trigger),
        Self::Code(Code::Rule),
        Self::Code(Code::Policy),
        Self::Code(Code::View),
        Self::Code(Code::Default),
        Self::Code(Code::Cast),
        Self::Code(Code::Operator),
        Self::Grant,
        Self::Call,
        Self::Extension,
    ];

    /// Whether the right to do this is the right to do what was seen.
    pub fn allows(self, seen: Self) -> bool {
        self == seen
            || (seen == Self::Write && matches!(self, Self::Insert | Self::Update | Self::Delete))
    }

    /// Whether it can be limited to columns.
    pub fn has_columns(self) -> bool {
        matches!(self, Self::Select | Self::Update | Self::Insert)
    }

    /// The words before the object.
    pub fn words(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Write => "write",
            Self::Copy => "copy",
            Self::Create(Kind::Table) => "create table",
            Self::Create(Kind::Index) => "create index on",
            Self::Create(Kind::Sequence) => "create sequence",
            Self::Create(Kind::Schema) => "create schema",
            Self::Create(Kind::Type) => "create type",
            Self::Create(Kind::Statistics) => "create statistics",
            Self::Create(Kind::Collation) => "create collation",
            Self::Create(Kind::TextSearch) => "create text search",
            Self::Alter(Kind::Table) => "alter table",
            Self::Alter(Kind::Index) => "alter index",
            Self::Alter(Kind::Sequence) => "alter sequence",
            Self::Alter(Kind::Schema) => "alter schema",
            Self::Alter(Kind::Type) => "alter type",
            Self::Alter(Kind::Statistics) => "alter statistics",
            Self::Alter(Kind::Collation) => "alter collation",
            Self::Alter(Kind::TextSearch) => "alter text search",
            Self::Drop(Kind::Table) => "drop table",
            Self::Drop(Kind::Index) => "drop index",
            Self::Drop(Kind::Sequence) => "drop sequence",
            Self::Drop(Kind::Schema) => "drop schema",
            Self::Drop(Kind::Type) => "drop type",
            Self::Drop(Kind::Statistics) => "drop statistics",
            Self::Drop(Kind::Collation) => "drop collation",
            Self::Drop(Kind::TextSearch) => "drop text search",
            Self::Code(Code::Function) => "code function",
            Self::Code(Code::Trigger) => "code trigger on",
            Self::Code(Code::Rule) => "code rule on",
            Self::Code(Code::Policy) => "code policy on",
            Self::Code(Code::View) => "code view",
            Self::Code(Code::Default) => "code default on",
            Self::Code(Code::Cast) => "code cast",
            Self::Code(Code::Operator) => "code operator",
            Self::Grant => "grant on",
            Self::Call => "call",
            Self::Extension => "extension",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words())
    }
}
