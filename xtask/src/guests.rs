//! The guest programs of the tests: source in `tests/guests`, components in `target/guests`.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;
use wit_component::ComponentEncoder;

use crate::install::{debian, node_packages, python_packages};
use crate::process::{cargo, output, root, run, target_folder};

const RUST: [&str; 3] = ["adversary", "filler", "values"];
const RUST_TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_RUST: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];
const CLANG: &str = "clang-22";
const DEBIAN_C: [&str; 4] = [CLANG, "lld-22", "libclang-rt-22-dev-wasm32", "wasi-libc"];
pub(crate) const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
pub(crate) const COMPONENTIZE_JS: &str = "componentize-qjs@0.4.5";

/// Guests in other languages, and the worlds that they are of.
const C: [(&str, &str); 2] = [("c", "migration"), ("c-filler", "backfill")];
const PYTHON: [(&str, &str); 2] = [("python", "migration"), ("python-filler", "backfill")];
const JAVASCRIPT: [(&str, &str); 1] = [("javascript-filler", "backfill")];

/// Builds those of the guests whose source is newer than their component, and installs what that needs.
pub(crate) fn build() -> Result<()> {
    let root = root();
    let guests = Guests {
        wit: root.join("wit"),
        source: root.join("tests/guests"),
        out: target_folder().join("guests"),
    };
    fs::create_dir_all(&guests.out)?;
    if RUST.iter().any(|name| guests.is_stale(name, "")) {
        guests
            .build_rust()
            .context("cannot build the guests in Rust")?;
    }
    for (name, world) in guests.stale(&C) {
        let built = guests.build_c(name, world);
        built.with_context(|| format!("cannot build the guest {name}"))?;
    }
    for (name, world) in guests.stale(&PYTHON) {
        let built = guests.build_python(name, world);
        built.with_context(|| format!("cannot build the guest {name}"))?;
    }
    for (name, world) in guests.stale(&JAVASCRIPT) {
        let built = guests.build_javascript(name, world);
        built.with_context(|| format!("cannot build the guest {name}"))?;
    }
    Ok(())
}

struct Guests {
    wit: PathBuf,
    source: PathBuf,
    out: PathBuf,
}

impl Guests {
    /// Whether the component `name` was not built from the folder as it is now.
    fn is_stale(&self, name: &str, folder: &str) -> bool {
        let stamp = fs::read_to_string(self.out.join(format!("{name}.stamp"))).ok();
        !self.component(name).is_file() || stamp != self.digest(folder).ok()
    }

    /// Those of some guests that are stale, each of which has a folder of its own.
    fn stale<'a>(
        &self,
        all: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a (&'a str, &'a str)> {
        all.iter().filter(|(name, _)| self.is_stale(name, name))
    }

    fn component(&self, name: &str) -> PathBuf {
        self.out.join(format!("{name}.wasm"))
    }

    fn digest(&self, folder: &str) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        for dir in [self.wit.clone(), self.source.join(folder)] {
            hash_folder(&dir, &mut hasher)?;
        }
        Ok(format!("{:016x}", hasher.finish()))
    }

    fn keep(&self, name: &str, folder: &str, component: &[u8]) -> Result<()> {
        fs::write(self.component(name), component)?;
        fs::write(self.out.join(format!("{name}.stamp")), self.digest(folder)?)?;
        println!("built the guest {name}: {} KB", component.len() / 1000);
        Ok(())
    }

    fn build_rust(&self) -> Result<()> {
        let mut cargo = rust_toolchain()?;
        cargo
            .args([
                "build",
                "--release",
                "--target",
                RUST_TARGET,
                "--target-dir",
            ])
            .arg(self.out.join("rust"))
            .current_dir(&self.source)
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
            .env_remove("RUSTFLAGS");
        run(&mut cargo)?;
        for name in RUST {
            let module = self
                .out
                .join(format!("rust/{RUST_TARGET}/release/{name}.wasm"));
            self.keep(name, "", &encode(&fs::read(module)?)?)?;
        }
        Ok(())
    }

    fn build_c(&self, name: &str, world: &str) -> Result<()> {
        debian(
            &[CLANG, "wasm-ld-22", "/usr/include/wasm32-wasi/stdio.h"],
            &DEBIAN_C,
        )?;
        let bindings = self.out.join(name);
        fs::create_dir_all(&bindings)?;
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(&self.wit)?;
        let id = resolve.select_world(&[package], Some(world))?;
        let mut files = Files::default();
        wit_bindgen_c::Opts::default()
            .build()
            .generate(&mut resolve, id, &mut files)?;
        for (file, content) in files.iter() {
            fs::write(bindings.join(file), content)?;
        }
        let module = bindings.join("module.wasm");
        run(Command::new(CLANG)
            .args([
                "--target=wasm32-wasi",
                "-O2",
                "-mexec-model=reactor",
                "--sysroot=/usr",
                "-I.",
            ])
            .arg(self.source.join(name).join("guest.c"))
            .arg(format!("{world}.c"))
            .arg(format!("{world}_component_type.o"))
            .arg("-o")
            .arg(&module)
            .current_dir(&bindings))?;
        self.keep(name, name, &encode(&fs::read(module)?)?)
    }

    fn build_python(&self, name: &str, world: &str) -> Result<()> {
        let tool = python_packages(&[COMPONENTIZE_PY])?.join("componentize-py");
        let component = self.out.join(format!("{name}.tmp.wasm"));
        output(
            Command::new(tool)
                .arg("-d")
                .arg(&self.wit)
                .args(["-w", world, "componentize", "guest", "-p", ".", "-o"])
                .arg(&component)
                .current_dir(self.source.join(name)),
        )?;
        self.keep(name, name, &fs::read(&component)?)?;
        Ok(fs::remove_file(component)?)
    }

    fn build_javascript(&self, name: &str, world: &str) -> Result<()> {
        let tool = node_packages(&[COMPONENTIZE_JS])?.join(".bin/componentize-qjs");
        let component = self.out.join(format!("{name}.tmp.wasm"));
        output(
            Command::new(tool)
                .args(["--sync", "--world", world, "--wit"])
                .arg(&self.wit)
                .arg("--js")
                .arg(self.source.join(name).join("guest.js"))
                .arg("--output")
                .arg(&component),
        )?;
        self.keep(name, name, &fs::read(&component)?)?;
        Ok(fs::remove_file(component)?)
    }
}

/// A cargo that can build for the target: rustup's, or Debian's with the standard library from its source.
fn rust_toolchain() -> Result<Command> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]));
    let has_target = |sysroot: String| {
        Path::new(sysroot.trim())
            .join("lib/rustlib")
            .join(RUST_TARGET)
            .join("lib")
            .is_dir()
    };
    let add = || output(Command::new("rustup").args(["target", "add", RUST_TARGET]));
    if sysroot.is_ok_and(has_target) || add().is_ok() {
        return Ok(cargo());
    }
    let needed = [
        "/usr/bin/cargo",
        "/usr/lib/rustlib/src/rust/library/std/Cargo.toml",
        "wasm-ld-22",
    ];
    debian(&needed, &DEBIAN_RUST)?;
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo
        .arg("-Zbuild-std=std,panic_abort")
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-22")
        .env_remove("RUSTUP_TOOLCHAIN");
    Ok(cargo)
}

fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)?
        .encode()
}

fn hash_folder(dir: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with('.') || name.starts_with("__") || name == "target" {
            continue;
        }
        name.hash(hasher);
        if path.is_dir() {
            hash_folder(&path, hasher)?;
        } else {
            fs::read(&path)?.hash(hasher);
        }
    }
    Ok(())
}
