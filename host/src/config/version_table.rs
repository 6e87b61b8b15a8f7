//! The name of the version table.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;

/// The name of the table of applied heads, with its schema where one is given. Each part is an identifier that needs
/// no escaping when it is quoted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct VersionTable {
    schema: Option<String>,
    name: String,
}

/// A text that cannot name a table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` cannot name the version table; use `name` or `schema.name` of letters, digits and `_`, at most 63 each"
)]
pub struct InvalidTable(pub String);

/// PostgreSQL cuts longer names off.
const MAX_LEN: usize = 63;

impl VersionTable {
    /// The schema, where one was given.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The table's name without its schema.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Default for VersionTable {
    fn default() -> Self {
        Self {
            schema: None,
            name: "whimbrel_version".to_owned(),
        }
    }
}

impl FromStr for VersionTable {
    type Err = InvalidTable;

    fn from_str(text: &str) -> Result<Self, InvalidTable> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        if !schema.into_iter().chain([name]).all(is_identifier) {
            return Err(InvalidTable(text.to_owned()));
        }
        Ok(Self {
            schema: schema.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

fn is_identifier(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well
        && text.len() <= MAX_LEN
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl TryFrom<String> for VersionTable {
    type Error = InvalidTable;

    fn try_from(text: String) -> Result<Self, InvalidTable> {
        text.parse()
    }
}

impl fmt::Display for VersionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}
