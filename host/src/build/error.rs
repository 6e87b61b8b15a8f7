//! Why a migration cannot be built.

use camino::Utf8PathBuf;
use thiserror::Error;

use crate::migration::MigrationError;

/// Why a migration cannot be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// No builder for the language.
    #[error(
        "`{language}` is not a language that `whimbrel build` compiles (it compiles rust); build the component with the language's own tools"
    )]
    Language {
        /// The language that the manifest names.
        language: String,
    },
    /// No toolchain can compile for wasm32-unknown-unknown.
    #[error("no Rust toolchain here can compile for wasm32-unknown-unknown: {}", tried.join("; "))]
    NoToolchain {
        /// What was tried, and why it does not do.
        tried: Vec<String>,
    },
    /// A program failed.
    #[error("`{command}` failed ({status})\n{output}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote.
        output: String,
    },
    /// The package made no module.
    #[error(
        "{folder} built, but made no WebAssembly module: its Cargo.toml needs `[lib] crate-type = [\"cdylib\"]`"
    )]
    NoModule {
        /// The folder of the source.
        folder: Utf8PathBuf,
    },
    /// The module does not become a component.
    #[error("the module is no migration: {reason}")]
    Encode {
        /// Why not.
        reason: String,
    },
    /// The host would refuse what was built.
    #[error("the component was built, but would be refused")]
    Admission(#[source] MigrationError),
    /// A file cannot be read or written.
    #[error("{path}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl BuildError {
    /// What the reader can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoToolchain { .. } => Some(
                "install rustup's target with `rustup target add wasm32-unknown-unknown`, or on Debian the packages \
                 `rustc-web cargo-web rust-web-src lld`",
            ),
            Self::Encode { .. } => Some("export the migration with `#[whimbrel_sdk::migration]`"),
            _ => None,
        }
    }
}
