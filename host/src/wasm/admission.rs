//! What a component may ask for, decided from its imports and exports before any of it runs.

pub(super) mod size;

use wasmparser::{ComponentTypeRef, Encoding, Parser, Payload};

use crate::migration::MigrationError;

/// The version of `whimbrel:migrate` that this host speaks.
const PACKAGE: &str = "whimbrel:migrate/";
const VERSION: &str = "0.1.0";
const INTERFACES: [&str; 5] = ["bulk", "context", "log", "sql", "types"];
const EXPORTS: [&str; 2] = ["upgrade", "downgrade"];
/// What a backfill exports, and all that it may import.
const ROWS: &str = "whimbrel:migrate/rows@0.1.0";
const INTERFACES_OF_BACKFILLS: [&str; 3] = ["context", "log", "types"];
/// The packages of WASI that an interpreter may import; all of them are linked inert.
const INERT_WASI: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];
/// Larger files are not looked at: the largest known guests, interpreters included, are a fifth of it.
const MAX_COMPONENT_BYTES: usize = 128 << 20;

/// What a component gets of WASI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Wasi {
    /// Nothing: an import of it is refused. For guests of compiled languages.
    #[default]
    Refused,
    /// The inert part, for guests that bring an interpreter: output into the log, a fixed clock, seeded randomness;
    /// no arguments, environment, files or network.
    Inert,
}

impl Wasi {
    /// What a guest written in `language` needs.
    pub fn for_language(language: &str) -> Self {
        match language {
            "python" | "javascript" | "typescript" => Self::Inert,
            _ => Self::Refused,
        }
    }
}

/// The names at the border of a component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// What it imports, as `package:name/interface@version`.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

/// What a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum World {
    /// A migration, which has a database for a call.
    Migration,
    /// A backfill, which gets rows and returns others.
    Backfill,
}

impl Interface {
    /// What it is, by what it exports.
    pub fn world(&self) -> World {
        match self.exports.iter().any(|name| name == ROWS) {
            true => World::Backfill,
            false => World::Migration,
        }
    }
}

/// Reads the names at the border of a component without compiling it.
///
/// # Errors
/// [`MigrationError::Admission`] when the bytes are not a component.
pub fn interface(bytes: &[u8]) -> Result<Interface, MigrationError> {
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(refuse(format!(
            "it has {} MiB; at most {} MiB are read",
            bytes.len() >> 20,
            MAX_COMPONENT_BYTES >> 20
        )));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(refuse("it is not a WebAssembly file".to_owned()));
    }
    let mut found = Interface::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => {
                return Err(refuse(
                    "it is a core WebAssembly module, not a component; build it with `whimbrel build`"
                        .to_owned(),
                ));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(malformed)?;
                    // A type that the world uses by name is no power, and cannot be supplied as one.
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        found.imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    found
                        .exports
                        .push(export.map_err(malformed)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The imports of a component: all that it could ever ask for.
///
/// # Errors
/// As [`interface`].
pub fn imports(bytes: &[u8]) -> Result<Vec<String>, MigrationError> {
    interface(bytes).map(|interface| interface.imports)
}

/// Checks that the host can offer what a component imports and that it exports what a migration must.
///
/// # Errors
/// [`MigrationError::Admission`] with one reason for each name that is wrong or missing.
pub fn admit(interface: &Interface, wasi: Wasi) -> Result<(), MigrationError> {
    let mut reasons: Vec<String> = interface
        .imports
        .iter()
        .filter_map(|import| refusal(import, wasi))
        .collect();
    let world = interface.world();
    for import in &interface.imports {
        let (name, _) = import.split_once('@').unwrap_or((import, ""));
        let own = name.strip_prefix(PACKAGE);
        if world == World::Backfill
            && own.is_some_and(|own| !INTERFACES_OF_BACKFILLS.contains(&own))
        {
            reasons.push(format!(
                "it imports `{import}`; a backfill gets rows, and no database"
            ));
        }
    }
    for export in EXPORTS {
        if world == World::Migration && !interface.exports.iter().any(|name| name == export) {
            reasons.push(format!(
                "it does not export `{export}`, which the world `whimbrel:migrate/migration` asks for"
            ));
        }
    }
    if reasons.is_empty() {
        Ok(())
    } else {
        Err(MigrationError::Admission { reasons })
    }
}

fn refusal(import: &str, wasi: Wasi) -> Option<String> {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    if let Some(interface) = name.strip_prefix(PACKAGE) {
        if !INTERFACES.contains(&interface) {
            return Some(format!(
                "it imports `{import}`, which this version of Whimbrel does not have"
            ));
        }
        return (version != VERSION).then(|| {
            format!("it imports `{import}`; this version of Whimbrel offers {VERSION} of it")
        });
    }
    let Some(interface) = name.strip_prefix("wasi:") else {
        return Some(format!(
            "it imports `{import}`, which is no interface of Whimbrel's"
        ));
    };
    let package = interface
        .split_once('/')
        .map_or(interface, |(package, _)| package);
    match wasi {
        Wasi::Refused => Some(format!(
            "it imports `{import}`; a guest of a compiled language gets no WASI"
        )),
        Wasi::Inert if INERT_WASI.contains(&package) && version.starts_with("0.2.") => None,
        Wasi::Inert => Some(format!("it imports `{import}`, which no migration gets")),
    }
}

fn malformed(error: wasmparser::BinaryReaderError) -> MigrationError {
    refuse(format!("it is damaged: {error}"))
}

pub(super) fn refuse(reason: String) -> MigrationError {
    MigrationError::Admission {
        reasons: vec![reason],
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn reasons(imports: &[&str], exports: &[&str], wasi: Wasi) -> Vec<String> {
        let names = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let interface = Interface {
            imports: names(imports),
            exports: names(exports),
        };
        match admit(&interface, wasi) {
            Ok(()) => Vec::new(),
            Err(MigrationError::Admission { reasons }) => reasons,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_the_world_offers_is_admitted() {
        let imports = ["whimbrel:migrate/sql@0.1.0", "whimbrel:migrate/types@0.1.0"];
        assert!(reasons(&imports, &EXPORTS, Wasi::Refused).is_empty());
    }

    #[test]
    fn each_wrong_name_has_its_sentence() {
        let imports = [
            "whimbrel:migrate/sql@0.2.0",
            "whimbrel:migrate/schema@0.1.0",
            "acme:secret/keys@1.0.0",
            "wasi:cli/stdout@0.2.0",
        ];
        let reasons = reasons(&imports, &["upgrade"], Wasi::Refused);
        assert_eq!(reasons.len(), 5, "{reasons:?}");
        assert!(reasons[0].contains("offers 0.1.0"));
        assert!(reasons[4].contains("`downgrade`"));
    }

    #[test]
    fn interpreters_get_inert_wasi_and_never_http() {
        assert!(reasons(&["wasi:cli/stdout@0.2.0"], &EXPORTS, Wasi::Inert).is_empty());
        assert_eq!(
            reasons(&["wasi:http/types@0.2.0"], &EXPORTS, Wasi::Inert).len(),
            1
        );
    }

    #[test]
    fn what_is_no_component_says_so() {
        let say = |bytes: &[u8]| match interface(bytes).unwrap_err() {
            MigrationError::Admission { reasons } => reasons.join("; "),
            other => panic!("{other}"),
        };
        assert!(say(b"hello").contains("not a WebAssembly file"));
        assert!(say(b"\0asm\x01\0\0\0").contains("core WebAssembly module"));
        assert!(say(b"\0asm\x0d\0\x01\0\xff\xff").contains("damaged"));
        assert!(say(b"").contains("not a WebAssembly file"));
    }
}
