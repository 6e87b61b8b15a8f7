//! Finds a Rust toolchain that can compile for wasm32-unknown-unknown.

use std::path::{Path, PathBuf};
use std::process::Command;

use camino::Utf8Path;

use super::{BuildError, command};

pub(super) const TARGET: &str = "wasm32-unknown-unknown";
/// Forces a toolchain: a rustup name (`nightly`), or the prefix of an installation (`/usr`).
const VARIABLE: &str = "WHIMBREL_RUST_TOOLCHAIN";
/// Where a distribution's packages install.
const SYSTEM: &str = "/usr";

/// How the standard library gets there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Std {
    /// Compiled with the toolchain.
    Installed,
    /// Compiled with the migration, from its source.
    FromSource {
        /// The linker, where the toolchain has none of its own.
        linker: Option<PathBuf>,
    },
}

/// Where cargo and rustc are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// On the search path; rustup may choose by folder, environment or this name.
    Path { toolchain: Option<String> },
    /// Under a prefix.
    Prefix(PathBuf),
}

/// A toolchain that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Toolchain {
    place: Place,
    std: Std,
}

impl Toolchain {
    /// Finds one for the package in `folder`: with the target installed; where rustup can install it; with the source
    /// of the standard library; the distribution's.
    pub(super) fn find(
        folder: &Utf8Path,
        output: &mut dyn FnMut(&str),
    ) -> Result<Self, BuildError> {
        let mut tried = Vec::new();
        let places = match std::env::var(VARIABLE) {
            Ok(forced) if forced.starts_with('/') => vec![Place::Prefix(forced.into())],
            Ok(forced) if !forced.is_empty() => vec![Place::Path {
                toolchain: Some(forced),
            }],
            _ => vec![
                Place::Path { toolchain: None },
                Place::Prefix(SYSTEM.into()),
            ],
        };
        for place in places {
            match place.std(folder, output) {
                Ok(std) => return Ok(Self { place, std }),
                Err(reason) => tried.push(reason),
            }
        }
        Err(BuildError::NoToolchain { tried })
    }

    /// Cargo in a folder.
    pub(super) fn cargo(&self, folder: &Utf8Path) -> Command {
        self.place.command("cargo", folder)
    }

    /// `cargo rustc` for the target, without the profile.
    pub(super) fn cargo_rustc(&self, folder: &Utf8Path) -> Command {
        let mut cargo = self.cargo(folder);
        cargo.args(["rustc", "--release", "--lib", "--target", TARGET]);
        if let Std::FromSource { linker } = &self.std {
            cargo
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC_BOOTSTRAP", "1");
            if let Some(linker) = linker {
                cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            }
        }
        cargo
    }

    /// The folder of the toolchain, whose paths panic messages of the standard library would show.
    pub(super) fn sysroot(&self, folder: &Utf8Path) -> Option<PathBuf> {
        self.place.sysroot(folder).ok()
    }
}

impl Place {
    fn command(&self, program: &str, folder: &Utf8Path) -> Command {
        let mut command = match self {
            Self::Path { .. } => Command::new(program),
            Self::Prefix(prefix) => Command::new(prefix.join("bin").join(program)),
        };
        command.current_dir(folder);
        match self {
            Self::Path { toolchain: None } => {}
            Self::Path {
                toolchain: Some(name),
            } => {
                command.env("RUSTUP_TOOLCHAIN", name);
            }
            Self::Prefix(prefix) => {
                // Cargo starts `rustc` from the search path, where rustup's stand-in may come first.
                command
                    .env("RUSTC", prefix.join("bin/rustc"))
                    .env_remove("RUSTUP_TOOLCHAIN");
            }
        }
        command
    }

    fn name(&self) -> String {
        match self {
            Self::Path { toolchain: None } => "the default toolchain".to_owned(),
            Self::Path {
                toolchain: Some(name),
            } => format!("toolchain `{name}`"),
            Self::Prefix(prefix) => format!("the toolchain in {}", prefix.display()),
        }
    }

    fn std(&self, folder: &Utf8Path, output: &mut dyn FnMut(&str)) -> Result<Std, String> {
        let sysroot = self.sysroot(folder)?;
        if has_target(&sysroot) {
            return Ok(Std::Installed);
        }
        if let Self::Path { .. } = self {
            output(&format!("installing the target {TARGET}"));
            let mut rustup = self.command("rustup", folder);
            if command::run(rustup.args(["target", "add", TARGET]), output).is_ok()
                && has_target(&sysroot)
            {
                return Ok(Std::Installed);
            }
        }
        if !sysroot
            .join("lib/rustlib/src/rust/library/std/Cargo.toml")
            .is_file()
        {
            return Err(format!(
                "{} has neither the target {TARGET} nor the source of the standard library",
                self.name()
            ));
        }
        let linker = match own_linker(&sysroot) {
            true => None,
            false => Some(system_linker().ok_or_else(|| {
                format!(
                    "{} has no linker for WebAssembly (`wasm-ld` of lld)",
                    self.name()
                )
            })?),
        };
        output(&format!(
            "compiling the standard library with {}: minutes, the first time",
            self.name()
        ));
        Ok(Std::FromSource { linker })
    }

    fn sysroot(&self, folder: &Utf8Path) -> Result<PathBuf, String> {
        let mut rustc = self.command("rustc", folder);
        let printed = command::run(rustc.args(["--print", "sysroot"]), &mut |_| {});
        let missing = |_| format!("{} is not there, or its rustc does not run", self.name());
        printed
            .map(|text| PathBuf::from(text.trim()))
            .map_err(missing)
    }
}

fn has_target(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
}

/// Whether the toolchain ships `rust-lld`.
fn own_linker(sysroot: &Path) -> bool {
    let hosts = std::fs::read_dir(sysroot.join("lib/rustlib"))
        .into_iter()
        .flatten()
        .flatten();
    hosts
        .into_iter()
        .any(|host| host.path().join("bin/rust-lld").is_file())
}

/// `wasm-ld`, or the newest `wasm-ld-N`, on the search path.
fn system_linker() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let files = std::env::split_paths(&path).filter_map(|dir| std::fs::read_dir(dir).ok());
    let files = files.flatten().flatten().map(|entry| entry.path());
    let version = |file: &Path| {
        let name = file.file_name()?.to_str()?;
        match name.strip_prefix("wasm-ld")? {
            "" => Some(u32::MAX),
            version => version.strip_prefix('-')?.parse().ok(),
        }
    };
    files
        .filter_map(|file| Some((version(&file)?, file)))
        .max()
        .map(|(_, file)| file)
}
