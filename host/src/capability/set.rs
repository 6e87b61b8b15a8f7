//! Several capabilities together.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::{Access, Capability, Columns, InvalidCapability};

/// Capabilities, each of them once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(BTreeSet::new());

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// They, in the order of their actions and objects.
    pub fn iter(&self) -> impl Iterator<Item = &Capability> {
        self.0.iter()
    }

    /// Adds one.
    pub fn insert(&mut self, capability: Capability) {
        self.0.insert(capability);
    }

    /// Whether they allow all of what a capability allows.
    pub fn cover(&self, asked: &Capability) -> bool {
        if self.0.iter().any(|one| one.covers(asked)) {
            return true;
        }
        // Several may cover its columns together.
        let mut columns = Columns::Some(BTreeSet::new());
        for one in &self.0 {
            if one.action == asked.action && one.object.covers(&asked.object) {
                columns.join(&one.columns);
            }
        }
        matches!(&asked.columns, Columns::Some(some) if !some.is_empty())
            && columns.cover(&asked.columns)
    }

    /// Whether they allow an access. `default_schema` is that of names without one.
    pub fn allow(&self, access: &Access, default_schema: &str) -> bool {
        let mut columns: Option<Columns> = None;
        for one in self.concerning(access, default_schema) {
            match &mut columns {
                Some(columns) => columns.join(&one.columns),
                None => columns = Some(one.columns.clone()),
            }
        }
        columns.is_some_and(|columns| columns.cover(&access.columns))
    }

    /// Those that speak of what an access does to its object.
    pub fn concerning<'a>(
        &'a self,
        access: &'a Access,
        default_schema: &'a str,
    ) -> impl Iterator<Item = &'a Capability> {
        self.0
            .iter()
            .filter(move |one| one.concerns(access, default_schema))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().collect())
    }
}

impl Extend<Capability> for Capabilities {
    fn extend<I: IntoIterator<Item = Capability>>(&mut self, capabilities: I) {
        self.0.extend(capabilities);
    }
}

impl IntoIterator for Capabilities {
    type Item = Capability;
    type IntoIter = std::collections::btree_set::IntoIter<Capability>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Capabilities between semicolons.
impl FromStr for Capabilities {
    type Err = InvalidCapability;

    fn from_str(text: &str) -> Result<Self, InvalidCapability> {
        text.split(';')
            .filter(|one| !one.trim().is_empty())
            .map(str::parse)
            .collect()
    }
}

impl serde::Serialize for Capabilities {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> serde::Deserialize<'de> for Capabilities {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts
            .iter()
            .map(|text| text.parse().map_err(serde::de::Error::custom))
            .collect()
    }
}
