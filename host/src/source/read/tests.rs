#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use camino::Utf8PathBuf;
use tempfile::TempDir;

use super::*;
use crate::config::Root;
use crate::source::Digest;

/// A project folder, with a folder beside it that is none of its business.
struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let sandbox = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(sandbox.project().join("migrations")).unwrap();
        sandbox
    }

    fn project(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path())
            .unwrap()
            .join("project")
    }

    fn write(self, path: &str, text: &str) -> Self {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn link(self, path: &str, to: &str) -> Self {
        std::os::unix::fs::symlink(to, self.project().join(path)).unwrap();
        self
    }

    fn read(&self) -> Result<Migrations, SourceErrors> {
        self.read_folder("migrations")
    }

    fn read_folder(&self, folder: &str) -> Result<Migrations, SourceErrors> {
        let root = Root::open(&self.project()).unwrap();
        Migrations::read(Arc::new(root), &Utf8Path::new(folder).into())
    }

    fn errors(&self) -> Vec<String> {
        let errors = self.read().unwrap_err().0;
        errors.iter().map(ToString::to_string).collect()
    }
}

fn sql(id: &str) -> String {
    format!("-- whimbrel:migration\n-- id: {id}\n-- whimbrel:upgrade\n")
}

fn paths(migrations: &Migrations) -> Vec<&str> {
    let paths = migrations.iter().map(|one| one.revision.path.as_str());
    paths.collect()
}

fn component(migrations: &Migrations) -> Arc<Component> {
    match &migrations.iter().next().unwrap().body {
        Body::Component(component) => Arc::clone(component),
        Body::Sql(_) => panic!("a SQL file"),
    }
}

#[test]
fn files_and_folders_are_migrations_and_the_rest_is_left_alone() {
    let sandbox = Sandbox::new()
        .write("migrations/bb.sql", &sql("bb"))
        .write("migrations/aa_x/migration.toml", "id = 'aa'")
        .write("migrations/README.md", "")
        .write("migrations/.hidden.sql", "")
        .write("migrations/seeds/rows.sql", "INSERT …");
    assert_eq!(
        paths(&sandbox.read().unwrap()),
        ["migrations/aa_x", "migrations/bb.sql"]
    );
}

#[test]
fn a_project_may_itself_be_the_folder_of_migrations() {
    let sandbox = Sandbox::new()
        .write("whimbrel.toml", "")
        .write("aa.sql", &sql("aa"));
    assert_eq!(paths(&sandbox.read_folder(".").unwrap()), ["aa.sql"]);
}

#[test]
fn a_manifest_says_the_same_as_a_header() {
    let manifest = r#"
        id = "aa"
        revises = ["bb", "cc"]
        depends-on = "dd"
        created = 2026-11-22T10:00:00Z
        transaction = false
        language = "rust"
        [params]
        size = 10
        [limits]
        memory = "64MiB"
    "#;
    let sandbox = Sandbox::new().write("migrations/aa_fill/migration.toml", manifest);
    let migrations = sandbox.read().unwrap();
    let revision = &migrations.get("aa").unwrap().revision;
    let text = |ids: &[crate::revision::RevisionId]| {
        ids.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(text(&revision.revises), "bb cc");
    assert_eq!(text(&revision.depends_on), "dd");
    assert_eq!(revision.message, "fill");
    assert_eq!(
        revision.created,
        Some("2026-11-22T10:00:00Z".parse().unwrap())
    );
    assert_eq!(revision.transactional, crate::revision::Transactional::No);
    let component = component(&migrations);
    assert_eq!(component.path(), "migrations/aa_fill/migration.wasm");
    assert_eq!(component.manifest().limits.memory, 64 << 20);
    assert_eq!(component.manifest().params["size"], 10);
}

#[test]
fn manifest_mistakes_name_the_line() {
    let cases = [
        (
            "id = 'aa'\nrevise = 'bb'",
            ":2: unknown key `revise`; did you mean `revises`?",
        ),
        (
            "id = 'aa'\n\nrevises = ['b-b']",
            ":3: revises: `b-b` contains `-`; ids and labels use letters, digits, `_` and `.`",
        ),
        ("revises = ['bb']", ": `id` is missing"),
        (
            "id = 'aa'\nrevises = 3",
            ":2: expected a name or a list of names, such as \"5d0e11aa2b3c\" or [\"5d0e11aa2b3c\", \"77aa01020304\"]",
        ),
    ];
    for (manifest, expected) in cases {
        let sandbox = Sandbox::new().write("migrations/aa_x/migration.toml", manifest);
        let expected = format!("migrations/aa_x/migration.toml{expected}");
        assert_eq!(sandbox.errors(), [expected]);
    }
}

#[test]
fn every_mistake_of_every_file_is_told() {
    let sandbox = Sandbox::new()
        .write("migrations/aa.sql", "SELECT 1;")
        .write("migrations/bb.sql", &sql("cc"))
        .write("migrations/0123456789ab_lost/src/lib.rs", "");
    let errors = sandbox.errors();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert_eq!(
        errors[0],
        "migrations/0123456789ab_lost: is named like a migration but has no migration.toml"
    );
    assert!(errors[1].starts_with("migrations/aa.sql:1: has no"));
    assert!(errors[2].starts_with("migrations/bb.sql: the name must start"));
}

#[test]
fn many_files_are_read_in_the_order_of_their_names() {
    let names: Vec<String> = (0..1000).map(|number| format!("{number:04}")).collect();
    let mut sandbox = Sandbox::new();
    for name in &names {
        sandbox = sandbox.write(&format!("migrations/{name}.sql"), &sql(name));
    }
    let migrations = sandbox.read().unwrap();
    let read: Vec<&str> = migrations
        .iter()
        .map(|one| one.revision.id.as_str())
        .collect();
    assert_eq!(read, names);
}

#[test]
fn a_link_that_stays_inside_is_followed() {
    let sandbox = Sandbox::new()
        .write("shared/aa.sql", &sql("aa"))
        .link("migrations/aa.sql", "../shared/aa.sql");
    assert_eq!(paths(&sandbox.read().unwrap()), ["migrations/aa.sql"]);
}

#[test]
fn what_leads_outside_is_an_error_that_names_the_path() {
    let outside = "leads out of the project's folder";
    for target in ["../../secret.sql", "/etc/passwd"] {
        let sandbox = Sandbox::new().link("migrations/aa.sql", target);
        fs::write(sandbox.project().join("../secret.sql"), sql("aa")).unwrap();
        assert_eq!(sandbox.errors(), [format!("migrations/aa.sql: {outside}")]);
    }
    for folder in ["..", "/etc"] {
        let errors = Sandbox::new().read_folder(folder).unwrap_err();
        assert_eq!(errors.to_string(), format!("{folder}: {outside}"));
    }
}

#[test]
fn a_component_may_be_shared_but_not_from_outside() {
    let manifest =
        |component: &str| format!("id = 'aa'\nlanguage = 'rust'\ncomponent = '{component}'");
    let read = |component: &str| {
        let sandbox = Sandbox::new()
            .write("components/shared.wasm", "bytes")
            .write("migrations/aa_x/migration.toml", &manifest(component));
        super::tests::component(&sandbox.read().unwrap())
            .bytes()
            .map_err(|error| error.to_string())
    };
    assert_eq!(read("../../components/shared.wasm").unwrap(), b"bytes");
    assert_eq!(
        read("../../../secret.wasm").unwrap_err(),
        "../secret.wasm: leads out of the project's folder"
    );
    assert_eq!(
        read("missing.wasm").unwrap_err(),
        "migrations/aa_x/missing.wasm: has not been built; run `whimbrel build`"
    );
}

#[test]
fn the_digest_of_a_component_is_what_sha256sum_says() {
    let sandbox = Sandbox::new()
        .write("migrations/aa_x/migration.toml", "id = 'aa'")
        .write("migrations/aa_x/migration.wasm", "abc");
    let migrations = sandbox.read().unwrap();
    let component = component(&migrations);
    assert_eq!(component.digest().unwrap(), Digest::of(b"abc"));

    let sandbox = sandbox.write("migrations/aa_x/migration.wasm", "abd");
    let error = component.bytes().unwrap_err();
    assert_eq!(
        error.to_string(),
        "migrations/aa_x/migration.wasm: changed while the run was going on"
    );
    drop(sandbox);
}

#[test]
fn the_digest_of_the_source_leaves_out_what_is_built() {
    let source = || {
        Sandbox::new()
            .write(
                "migrations/aa_x/migration.toml",
                "id = 'aa'\nlanguage = 'rust'",
            )
            .write("migrations/aa_x/src/lib.rs", "fn a() {}")
    };
    let digest = |sandbox: Sandbox| {
        let migrations = sandbox.read().unwrap();
        component(&migrations).source_digest().unwrap().unwrap()
    };
    let plain = digest(source());
    let built = source()
        .write("migrations/aa_x/target/debug/a", "")
        .write("migrations/aa_x/migration.wasm", "")
        .write("migrations/aa_x/.gitignore", "");
    assert_eq!(digest(built), plain);
    assert_ne!(
        digest(source().write("migrations/aa_x/src/lib.rs", "fn b() {}")),
        plain
    );
    assert_ne!(
        digest(source().write("migrations/aa_x/Cargo.lock", "")),
        plain
    );
}
