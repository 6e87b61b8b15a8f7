//! Where things are: the clone, and what was built from it.

use std::env;

use camino::{Utf8Path, Utf8PathBuf};

/// The root of the clone.
pub fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace")
}

/// The component of the guest program `name` of `tests/guests`, as `cargo xtask guests` builds it.
pub fn guest(name: &str) -> Utf8PathBuf {
    let path = target_folder().join(format!("guests/{name}.wasm"));
    assert!(
        path.is_file(),
        "there is no {path}\n  hint: `cargo xtask guests` builds the guest programs"
    );
    path
}

/// The `whimbrel` program: the one in `WHIMBREL_TEST_PROGRAM`, or else the one beside the test binary.
pub(crate) fn program() -> Utf8PathBuf {
    let path = env::var("WHIMBREL_TEST_PROGRAM")
        .map_or_else(|_| profile_folder().join("whimbrel"), Utf8PathBuf::from);
    assert!(
        path.is_file(),
        "there is no {path}\n  hint: `cargo xtask test` builds it, as does `cargo build --workspace`"
    );
    path
}

pub(crate) fn target_folder() -> Utf8PathBuf {
    profile_folder()
        .parent()
        .expect("the folder of a profile lies in the target folder")
        .to_owned()
}

/// `target/debug`, from the test binary that runs, `target/debug/deps/NAME`.
fn profile_folder() -> Utf8PathBuf {
    let binary = env::current_exe().expect("this program has a path");
    let binary = Utf8PathBuf::from_path_buf(binary).expect("the path is UTF-8");
    binary
        .ancestors()
        .nth(2)
        .expect("a test binary lies in `deps` of its profile's folder")
        .to_owned()
}
