//! What a migration asks for, as its manifest says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::parse::object;
use super::{Action, Capabilities, Capability};

/// The table `[capabilities]` of a manifest: for each kind of right the objects that it is about.
///
/// `ddl` and `code` name what is done as well: `ddl = ["create table tag_*"]`, `code = ["trigger on users"]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// What is asked for.
    pub capabilities: Capabilities,
}

/// The keys whose entries are objects.
const BY_OBJECT: [(&str, Action); 9] = [
    ("select", Action::Select),
    ("insert", Action::Insert),
    ("update", Action::Update),
    ("delete", Action::Delete),
    ("truncate", Action::Truncate),
    ("copy", Action::Copy),
    ("grant", Action::Grant),
    ("call", Action::Call),
    ("extensions", Action::Extension),
];

/// The keys whose entries say what is done as well, and what stands before them in a capability.
const BY_WORDS: [(&str, &str); 2] = [("ddl", ""), ("code", "code ")];

impl Request {
    /// The key and the entry that ask for a capability.
    pub fn entry(capability: &Capability) -> (&'static str, String) {
        let text = capability.to_string();
        if let Some((key, action)) = BY_OBJECT
            .iter()
            .find(|(_, action)| *action == capability.action)
        {
            let object = text.strip_prefix(action.words()).unwrap_or(&text);
            return (key, object.trim_start().to_owned());
        }
        match text.strip_prefix("code ") {
            Some(code) => ("code", code.to_owned()),
            None => ("ddl", text),
        }
    }

    fn read(entries: BTreeMap<String, Vec<String>>) -> Result<Self, String> {
        let mut capabilities = Capabilities::NONE;
        for (key, objects) in entries {
            for text in objects {
                let by_object = BY_OBJECT.iter().find(|(known, _)| *known == key);
                let by_words = BY_WORDS.iter().find(|(known, _)| *known == key);
                let capability = match (by_object, by_words) {
                    (Some((_, action)), _) => object(*action, &text)
                        .map_err(|reason| format!("{key} = [\"{text}\"]: {reason}"))?,
                    (None, Some((_, before))) => {
                        let capability: Capability = format!("{before}{text}")
                            .parse()
                            .map_err(|error| format!("{key} = [\"{text}\"]: {error}"))?;
                        if Self::entry(&capability).0 != key {
                            let right = Self::entry(&capability).0;
                            return Err(format!(
                                "{key} = [\"{text}\"]: `{capability}` belongs under `{right}`"
                            ));
                        }
                        capability
                    }
                    (None, None) => {
                        return Err(format!(
                            "`{key}` is not known; use select, insert, update, delete, truncate, copy, ddl, code, call, grant or \
                             extensions"
                        ));
                    }
                };
                capabilities.insert(capability);
            }
        }
        Ok(Self { capabilities })
    }
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let entries = BTreeMap::<String, Vec<String>>::deserialize(from)?;
        Self::read(entries).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut entries: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for capability in self.capabilities.iter() {
            let (key, entry) = Self::entry(capability);
            entries.entry(key).or_default().push(entry);
        }
        entries.serialize(to)
    }
}
