//! Columns that get another type: whether the table is written anew depends on the type that they have.

use serde::Deserialize;

use super::{Relation, Toll};

/// A column that gets another type, without an expression that computes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retype {
    /// The table.
    pub table: Relation,
    /// The column.
    pub column: String,
    /// The new type as `pg_type` has it: `varchar`, `int4`.
    pub to: String,
    /// What stands in parentheses behind it.
    pub modifiers: Vec<i32>,
}

/// The type that a column has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ColumnType {
    /// The column.
    pub column: String,
    /// The type as `pg_type` has it.
    pub of_type: String,
    /// `atttypmod`: the type's modifiers in one number, or -1.
    pub modifier: i32,
    /// Whether a check constraint reads the column, which is checked again.
    pub is_checked: bool,
}

impl ColumnType {
    /// What changing it takes, where no row has to be written anew.
    pub(super) fn toll(&self) -> Toll {
        match self.is_checked {
            true => Toll::Scan,
            false => Toll::Instant,
        }
    }

    /// The length of a `varchar` or a `varbit`, and the digits of a time.
    fn length(&self, header: i32) -> Option<i32> {
        (self.modifier >= 0).then(|| self.modifier - header)
    }

    /// Precision and scale of a `numeric`.
    fn digits(&self) -> Option<(i32, i32)> {
        let packed = self.length(4)?;
        // The scale has eleven bits and a sign.
        Some(((packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024))
    }
}

impl Retype {
    /// Whether all values of the old type are values of the new one as they are stored.
    pub fn keeps_the_form_of(&self, from: &ColumnType) -> bool {
        let at_least = |length: Option<i32>| match (self.modifiers.as_slice(), length) {
            ([], _) => true,
            ([new], Some(old)) => *new >= old,
            _ => false,
        };
        match (from.of_type.as_str(), self.to.as_str()) {
            ("varchar" | "text", "text") | ("cidr", "inet") => self.modifiers.is_empty(),
            ("text", "varchar") => self.modifiers.is_empty(),
            ("varchar", "varchar") => at_least(from.length(4)),
            ("varbit", "varbit") => at_least(from.length(0)),
            ("timestamp", "timestamp") | ("timestamptz", "timestamptz") | ("time", "time") => {
                at_least(from.length(0))
            }
            ("numeric", "numeric") => match (self.modifiers.as_slice(), from.digits()) {
                ([], _) => true,
                ([precision], Some((old, 0))) => *precision >= old,
                ([precision, scale], Some((old, old_scale))) => {
                    *precision >= old && *scale == old_scale
                }
                _ => false,
            },
            (old, new) => old == new && from.modifier == -1 && self.modifiers.is_empty(),
        }
    }
}
