//! What a component says that it asks for: a section of its file.
//!
//! The custom section `whimbrel:capabilities` of the component itself, not of a module in it, holds the tables
//! `[capabilities]` and `[limits]` of its manifest as TOML, with a `version` before them. It is written by `whimbrel build`
//! and read without running anything, so that a component that travels without its manifest still says what it needs.

use serde::{Deserialize, Serialize};
use wasmparser::{Chunk, Encoding, Parser, Payload};

use crate::capability::{Limits, Request};
use crate::document;

/// The name of the section.
pub const SECTION: &str = "whimbrel:capabilities";

/// The form of its content.
const VERSION: u32 = 1;

/// A longer section is not read.
const MAX_BYTES: usize = 1 << 20;

/// What a component asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    version: u32,
    /// `[capabilities]`
    #[serde(default)]
    pub capabilities: Request,
    /// `[limits]`
    #[serde(default)]
    pub limits: Limits,
}

impl Seal {
    /// What a manifest asks for.
    pub fn new(capabilities: Request, limits: Limits) -> Self {
        Self {
            version: VERSION,
            capabilities,
            limits,
        }
    }

    /// The seal of a component; `None` where it has none.
    ///
    /// # Errors
    /// Why the section cannot be read: there are several, or its content makes no sense. What is no component at all has no
    /// seal; what is wrong with it is for its admission to say.
    pub fn of(component: &[u8]) -> Result<Option<Self>, String> {
        let mut found = None;
        let mut parser = Parser::new(0);
        let mut rest = component;
        let mut at = 0;
        loop {
            let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, true) else {
                return Ok(None);
            };
            let mut next = at + consumed;
            match payload {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                }
                | Payload::End(_) => break,
                // What is inside has sections of its own.
                Payload::ModuleSection {
                    unchecked_range, ..
                }
                | Payload::ComponentSection {
                    unchecked_range, ..
                } => next = usize::try_from(unchecked_range.end).unwrap_or(usize::MAX),
                Payload::CustomSection(section) if section.name() == SECTION => {
                    if found.is_some() {
                        return Err(format!("it has several sections `{SECTION}`"));
                    }
                    found = Some(Self::parse(section.data())?);
                }
                _ => {}
            }
            let Some(more) = component.get(next..) else {
                return Ok(None);
            };
            (at, rest) = (next, more);
        }
        Ok(found)
    }

    fn parse(content: &[u8]) -> Result<Self, String> {
        let wrong = |why: &dyn std::fmt::Display| format!("its section `{SECTION}` {why}");
        if content.len() > MAX_BYTES {
            return Err(wrong(&format_args!(
                "has {} bytes, and at most {MAX_BYTES} are read",
                content.len()
            )));
        }
        let text = std::str::from_utf8(content).map_err(|_| wrong(&"is not UTF-8"))?;
        let seal: Self = document::parse(text)
            .map_err(|error| wrong(&format_args!("cannot be read: {}", error.message)))?;
        match seal.version {
            VERSION => Ok(seal),
            version => Err(wrong(&format_args!(
                "has version {version}, and this version of Whimbrel reads {VERSION}"
            ))),
        }
    }

    /// Puts it on a component that has none.
    ///
    /// # Errors
    /// Why it cannot be written down; it can.
    pub fn put_on(&self, component: &mut Vec<u8>) -> Result<(), toml::ser::Error> {
        let content = toml::to_string(self)?;
        let section = wasm_encoder::CustomSection {
            name: SECTION.into(),
            data: content.as_bytes().into(),
        };
        wasm_encoder::ComponentSection::append_to_component(&section, component);
        Ok(())
    }

    /// How it differs from what a manifest asks for, in a sentence each.
    pub fn differences(&self, manifest: &Self) -> Vec<String> {
        let (own, other) = (
            &self.capabilities.capabilities,
            &manifest.capabilities.capabilities,
        );
        let mut differences: Vec<String> = own
            .iter()
            .filter(|asked| !other.iter().any(|known| known == *asked))
            .map(|asked| format!("it asks for `{asked}`, and its manifest does not"))
            .collect();
        differences.extend(
            other
                .iter()
                .filter(|asked| !own.iter().any(|known| known == *asked))
                .map(|asked| format!("its manifest asks for `{asked}`, and it does not")),
        );
        let limits = self.limits.differing(&manifest.limits);
        differences.extend(
            limits
                .iter()
                .zip(manifest.limits.differing(&self.limits))
                .map(|((name, own), (_, other))| {
                    format!("its limit `{name}` is {own}, and {other} in its manifest")
                }),
        );
        differences
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn seal() -> Seal {
        let request = "select = [\"users(id)\"]\nddl = [\"create table tag_*\"]\n";
        let limits = "memory = \"512MiB\"\nrows-written = 7\n";
        Seal::new(
            toml::from_str(request).unwrap(),
            toml::from_str(limits).unwrap(),
        )
    }

    fn with(contents: &[&[u8]]) -> Vec<u8> {
        let mut component = EMPTY.to_vec();
        for content in contents {
            let section = wasm_encoder::CustomSection {
                name: SECTION.into(),
                data: (*content).into(),
            };
            wasm_encoder::ComponentSection::append_to_component(&section, &mut component);
        }
        component
    }

    #[test]
    fn a_seal_reads_back_as_it_was_put_on() {
        for seal in [seal(), Seal::new(Request::default(), Limits::default())] {
            let mut component = EMPTY.to_vec();
            assert_eq!(Seal::of(&component), Ok(None));
            seal.put_on(&mut component).unwrap();
            assert_eq!(Seal::of(&component), Ok(Some(seal)));
        }
    }

    #[test]
    fn what_lies_in_a_module_of_the_component_is_none() {
        let mut module = wasm_encoder::Module::new();
        module.section(&wasm_encoder::CustomSection {
            name: SECTION.into(),
            data: b"version = 9"[..].into(),
        });
        let mut outer = wasm_encoder::Component::new();
        outer.section(&wasm_encoder::ModuleSection(&module));
        let mut component = outer.finish();
        assert_eq!(Seal::of(&component), Ok(None));
        seal().put_on(&mut component).unwrap();
        assert_eq!(Seal::of(&component), Ok(Some(seal())));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused: [(&[&[u8]], &str); 7] = [
            (&[b"version = 1", b"version = 1"], "several"),
            (&[b"\xff"], "not UTF-8"),
            (&[b"nonsense"], "cannot be read"),
            (&[b"version = 2"], "version 2"),
            (&[b""], "version"),
            (&[b"version = 1\nfree = true"], "free"),
            (&[&[b' '; MAX_BYTES + 1]], "bytes"),
        ];
        for (contents, why) in refused {
            let error = Seal::of(&with(contents)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(Seal::of(b"\0asm\x01\0\0\0"), Ok(None));
        assert_eq!(Seal::of(b"hello"), Ok(None));
        assert_eq!(Seal::of(b""), Ok(None));
    }

    #[test]
    fn differences_are_told_from_both_sides() {
        let manifest = Seal::new(
            toml::from_str("select = [\"users\"]\nddl = [\"create table tag_*\"]").unwrap(),
            Limits::default(),
        );
        assert_eq!(
            seal().differences(&manifest),
            [
                "it asks for `select users(id)`, and its manifest does not",
                "its manifest asks for `select users`, and it does not",
                "its limit `memory` is 512MiB, and 256MiB in its manifest",
                "its limit `rows-written` is 7, and no limit in its manifest",
            ]
        );
        assert!(seal().differences(&seal()).is_empty());
    }
}
