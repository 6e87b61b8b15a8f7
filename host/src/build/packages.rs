//! The packages that a migration is built from and that come from no registry.

use std::path::PathBuf;

use camino::Utf8Path;
use serde::Deserialize;

use super::toolchain::{TARGET, Toolchain};
use super::{BuildError, command};

/// What of `cargo metadata` counts here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    source: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

/// Where they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Packages {
    /// Outside of the migration's folder, with their names.
    pub(super) outside: Vec<(PathBuf, String)>,
    /// Whether the folder has more to compile than its library: a package, or a build script. Cargo tells what two folders have
    /// of the same name apart by nothing but its time.
    pub(super) has_more: bool,
}

impl Packages {
    /// Asks cargo, which downloads what it needs for the answer.
    pub(super) fn find(
        toolchain: &Toolchain,
        folder: &Utf8Path,
        output: &mut dyn FnMut(&str),
    ) -> Result<Self, BuildError> {
        let mut cargo = toolchain.cargo(folder);
        cargo.args([
            "metadata",
            "--format-version=1",
            "--filter-platform",
            TARGET,
        ]);
        let told = command::run(&mut cargo, output)?;
        let metadata = serde_json::from_str(&told).map_err(|source| BuildError::Io {
            path: folder.join("Cargo.toml"),
            source: source.into(),
        })?;
        Ok(Self::of(metadata, folder))
    }

    fn of(metadata: Metadata, folder: &Utf8Path) -> Self {
        let mut packages = Self::default();
        let local = |package: &Package| package.source.is_none();
        for package in metadata.packages.into_iter().filter(local) {
            let Some(home) = package.manifest_path.parent() else {
                continue;
            };
            let is_script = |target: &Target| target.kind.iter().any(|kind| kind == "custom-build");
            match home.strip_prefix(folder) {
                Err(_) => packages.outside.push((home.to_owned(), package.name)),
                Ok(inside) => {
                    packages.has_more |=
                        !inside.as_os_str().is_empty() || package.targets.iter().any(is_script);
                }
            }
        }
        packages.outside.sort();
        packages
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    fn of(packages: &str) -> Packages {
        let metadata = serde_json::from_str(&format!("{{\"packages\": [{packages}]}}"));
        Packages::of(metadata.unwrap(), Utf8Path::new("/p/migrations/one"))
    }

    fn package(name: &str, source: &str, folder: &str, kind: &str) -> String {
        format!(
            r#"{{"name": "{name}", "source": {source}, "manifest_path": "{folder}/Cargo.toml", "targets": [{{"kind": ["{kind}"]}}]}}"#
        )
    }

    #[test]
    fn packages_are_told_by_where_they_are() {
        let one = package("one", "null", "/p/migrations/one", "cdylib");
        let sdk = package("sdk", "null", "/p/.whimbrel/sdk", "lib");
        let serde = package("serde", "\"registry\"", "/home/.cargo/serde", "lib");
        let outside = vec![(PathBuf::from("/p/.whimbrel/sdk"), "sdk".to_owned())];
        assert_eq!(
            of(&[one.clone(), sdk, serde].join(", ")),
            Packages {
                outside,
                has_more: false
            }
        );
        let helper = package("helper", "null", "/p/migrations/one/helper", "lib");
        assert!(of(&[one, helper].join(", ")).has_more);
        assert!(of(&package("one", "null", "/p/migrations/one", "custom-build")).has_more);
    }
}
