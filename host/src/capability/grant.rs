//! What one call of a migration may do.

use thiserror::Error;

use super::{Access, Capabilities, Capability, Lesson, Limits};

/// What one call of a migration may do: what it asked for, as far as the operator grants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What it may do.
    pub reach: Reach,
    /// What it may not do, whatever else says that it may.
    pub denied: Capabilities,
    /// How much of it.
    pub limits: Limits,
    /// What enforces it.
    pub layers: Layers,
}

/// How far a grant goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// To everything that the authority of the session does not forbid by itself.
    Everything,
    /// To what these name.
    Only(Capabilities),
    /// To everything, while each access is noted: for finding out what to ask for.
    Learning(Lesson),
}

/// Those of the layers that enforce a grant which are at work: all of them, unless a test or a bench wants to know what
/// each of them does alone. No setting, flag or variable turns one off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layers {
    /// The check of each statement before it is sent.
    pub statements: Layer,
    /// The database's own rights, where the project's settings ask for them.
    pub database: Layer,
    /// The look at what a transaction has touched, before it commits.
    pub audit: Layer,
}

/// Whether a layer is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// It is.
    On,
    /// It is not.
    Off,
}

impl Layers {
    /// All at work.
    pub const ALL: Self = Self {
        statements: Layer::On,
        database: Layer::On,
        audit: Layer::On,
    };

    /// None at work.
    pub const NONE: Self = Self {
        statements: Layer::Off,
        database: Layer::Off,
        audit: Layer::Off,
    };
}

impl Default for Layers {
    fn default() -> Self {
        Self::ALL
    }
}

/// An access that a grant does not cover.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{access}` is not granted: {}", self.reason())]
pub struct NotGranted {
    /// What was tried.
    pub access: Access,
    /// What may be done to that object instead.
    pub granted: Vec<Capability>,
    /// The rule that forbids it, where one does.
    pub denied_by: Option<Capability>,
}

impl NotGranted {
    /// Why not, and what is granted instead.
    pub fn reason(&self) -> String {
        if let Some(rule) = &self.denied_by {
            return format!("`{rule}` is denied");
        }
        if self.granted.is_empty() {
            return "nothing is granted there".to_owned();
        }
        const SHOWN: usize = 6;
        let shown = self.granted.iter().take(SHOWN);
        let mut granted: Vec<String> = shown.map(|one| format!("`{one}`")).collect();
        if let Some(more @ 1..) = self.granted.len().checked_sub(SHOWN) {
            granted.push(format!("and {more} more"));
        }
        format!("granted there: {}", granted.join(", "))
    }
}

impl Grant {
    /// Everything, in any number.
    pub fn everything() -> Self {
        Self {
            reach: Reach::Everything,
            denied: Capabilities::NONE,
            limits: Limits::NONE,
            layers: Layers::ALL,
        }
    }

    /// What some capabilities name.
    pub fn only(capabilities: Capabilities) -> Self {
        Self {
            reach: Reach::Only(capabilities),
            limits: Limits::default(),
            ..Self::everything()
        }
    }

    /// Whether nothing needs to be asked of it.
    pub fn is_unrestricted(&self) -> bool {
        self.reach == Reach::Everything && self.denied.is_empty()
    }

    /// The same with all names in lower case, as SQLite compares them.
    pub fn in_lower_case(&self) -> Self {
        Self {
            reach: match &self.reach {
                Reach::Everything => Reach::Everything,
                Reach::Only(capabilities) => Reach::Only(capabilities.in_lower_case()),
                Reach::Learning(lesson) => Reach::Learning(lesson.clone()),
            },
            denied: self.denied.in_lower_case(),
            ..self.clone()
        }
    }

    /// Whether it covers an access, for who only wants to know: where accesses are noted, this one is not, and what was noted
    /// counts as granted.
    pub fn allows(&self, access: &Access, default_schema: &str) -> bool {
        match &self.reach {
            Reach::Learning(lesson) => lesson.request().allow(access, default_schema),
            _ => self.check(access, default_schema).is_ok(),
        }
    }

    /// Judges an access. `default_schema` is that of names without one. Denials win.
    ///
    /// # Errors
    /// [`NotGranted`] says what is granted instead.
    pub fn check(&self, access: &Access, default_schema: &str) -> Result<(), Box<NotGranted>> {
        let denied_by = self
            .denied
            .concerning(access, default_schema)
            .find(|rule| rule.columns.meet(&access.columns));
        let allowed = match &self.reach {
            Reach::Everything => true,
            Reach::Only(capabilities) => capabilities.allow(access, default_schema),
            Reach::Learning(lesson) => {
                lesson.note(access, default_schema);
                true
            }
        };
        if allowed && denied_by.is_none() {
            return Ok(());
        }
        let granted = match &self.reach {
            Reach::Everything | Reach::Learning(_) => Vec::new(),
            Reach::Only(capabilities) => capabilities
                .iter()
                .filter(|one| one.object.matches(&access.object, default_schema))
                .cloned()
                .collect(),
        };
        Err(Box::new(NotGranted {
            access: access.clone(),
            granted,
            denied_by: denied_by.cloned(),
        }))
    }
}

impl Default for Grant {
    /// Nothing.
    fn default() -> Self {
        Self::only(Capabilities::NONE)
    }
}
