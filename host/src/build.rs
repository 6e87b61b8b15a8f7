//! Source of a migration to component.

mod command;
mod encode;
mod error;
mod packages;
mod rust;
mod toolchain;

use camino::{Utf8Path, Utf8PathBuf};

pub use error::BuildError;

use crate::wasm::{Wasi, admit, interface};

/// What to build.
pub struct Request<'a> {
    /// The folder of the migration's source.
    pub folder: &'a Utf8Path,
    /// The language that its manifest names.
    pub language: &'a str,
    /// Where intermediate files go; sharing it between migrations compiles their dependencies once.
    pub target_dir: &'a Utf8Path,
    /// Is told each line that the compiler writes, as it comes.
    pub output: &'a mut dyn FnMut(&str),
}

/// A built component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The component's bytes: the same for the same source and toolchain, wherever the folder is, if the packages outside of it
    /// that come from no registry are where they were: rustc orders functions by names that their paths are part of.
    pub component: Vec<u8>,
    /// What it imports.
    pub imports: Vec<String>,
}

/// The languages that [`build`] can compile.
pub const LANGUAGES: [&str; 1] = ["rust"];

/// Compiles a migration into a component, and checks that the host would admit it.
///
/// # Errors
/// [`BuildError`] says what is missing, or what the compiler said.
pub fn build(request: Request<'_>) -> Result<Built, BuildError> {
    let Request {
        folder,
        language,
        target_dir,
        output,
    } = request;
    let module = match language {
        "rust" => rust::compile(folder, target_dir, output)?,
        other => {
            return Err(BuildError::Language {
                language: other.to_owned(),
            });
        }
    };
    let component = encode::component(&module)?;
    let border = interface(&component).map_err(BuildError::Admission)?;
    admit(&border, Wasi::for_language(language)).map_err(BuildError::Admission)?;
    Ok(Built {
        component,
        imports: border.imports,
    })
}

/// The path of a file in a folder, for messages and commands.
fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, BuildError> {
    let io = |source| BuildError::Io {
        path: path.to_owned(),
        source,
    };
    camino::absolute_utf8(path).map_err(io)
}
