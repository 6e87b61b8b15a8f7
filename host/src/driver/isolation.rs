//! Whether migrations get rights of their own in the database.

use std::fmt;

/// What the database itself holds a migration's grant to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Isolation {
    /// The rights of the user that Whimbrel logs in as.
    #[default]
    None,
    /// Those of a role that has none but what a migration's grant names, for as long as its transaction lasts: for all
    /// components, and for SQL files whose grant is narrowed. PostgreSQL only.
    Role(GuestRole),
}

/// The role that migrations log in as.
#[derive(Clone, PartialEq, Eq)]
pub struct GuestRole {
    name: String,
    password: Option<String>,
}

impl GuestRole {
    /// A role by its name as the server has it, and its password; without one, the password file or the server's own
    /// rules let it in.
    pub fn new(name: impl Into<String>, password: Option<String>) -> Self {
        Self {
            name: name.into(),
            password,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The password: for the server alone.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }
}

impl fmt::Debug for GuestRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestRole")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
