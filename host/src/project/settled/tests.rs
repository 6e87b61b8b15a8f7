use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};

use camino::Utf8Path;
use tempfile::TempDir;

use super::*;
use crate::config::Flags;

/// A project in a folder, with a cache beside it.
struct Sandbox(TempDir);

impl Sandbox {
    fn new() -> Self {
        let sandbox = Self(tempfile::tempdir().unwrap());
        sandbox.write("whimbrel.toml", "");
        sandbox.write("migrations/a.sql", &sql("a", ""));
        sandbox.write("migrations/b.sql", &sql("b", "-- revises: a\n"));
        sandbox
    }

    fn path(&self, path: &str) -> Utf8PathBuf {
        let folder = Utf8Path::from_path(self.0.path()).unwrap();
        folder.join("project").join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn config(&self) -> Config {
        let root = Arc::new(Root::open(&self.path("")).unwrap());
        Config::load(root, Flags::default(), |_| None).unwrap()
    }

    fn imprint(&self) -> Option<Digest> {
        let imprint = Imprint::take(&self.config().root, Utf8Path::new("migrations"));
        imprint.map(|imprint| imprint.digest)
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache")
    }

    fn place(&self) -> Place {
        Place::new(&self.config(), Some(self.cache())).unwrap()
    }

    fn recall(&self) -> Option<Settled> {
        self.place().recall()
    }

    fn remember_after(&self, settling: Duration) -> io::Result<()> {
        let unsettled = Unsettled::new(self.place());
        let project = Project::open(&self.config()).unwrap();
        unsettled.remember_after(settling, &project)
    }
}

fn sql(id: &str, revises: &str) -> String {
    format!("-- whimbrel:migration\n-- id: {id}\n{revises}-- whimbrel:upgrade\nSELECT 1;\n")
}

fn glance(rows: &[&str], tally: &str) -> Glance {
    Glance {
        rows: rows.iter().map(|&row| row.to_owned()).collect(),
        tally: tally.to_owned(),
    }
}

#[test]
fn an_imprint_tells_of_every_change() {
    let sandbox = Sandbox::new();
    let before = sandbox.imprint().unwrap();
    assert_eq!(sandbox.imprint(), Some(before));

    sandbox.write("migrations/c.sql", "");
    let added = sandbox.imprint().unwrap();
    let c = sandbox.path("migrations/c.sql");
    fs::rename(&c, sandbox.path("migrations/d.sql")).unwrap();
    let renamed = sandbox.imprint().unwrap();
    sandbox.write("migrations/folder/migration.toml", "");
    let deeper = sandbox.imprint().unwrap();
    fs::remove_file(sandbox.path("migrations/d.sql")).unwrap();
    let removed = sandbox.imprint().unwrap();
    sandbox.write("migrations/folder/src/lib.rs", "");
    let deepest = sandbox.imprint().unwrap();

    let mut imprints = vec![before, added, renamed, deeper, removed, deepest];
    imprints.sort_by_key(Digest::to_string);
    imprints.dedup();
    assert_eq!(imprints.len(), 6);
}

#[test]
fn an_imprint_tells_of_content_that_has_changed_though_size_and_time_say_no() {
    let sandbox = Sandbox::new();
    let before = sandbox.imprint();
    let path = sandbox.path("migrations/a.sql");
    let metadata = fs::metadata(&path).unwrap();
    let changed = |metadata: &fs::Metadata| (metadata.ctime(), metadata.ctime_nsec());
    // Until the file system's clock ticks.
    while changed(&fs::metadata(&path).unwrap()) == changed(&metadata) {
        fs::write(&path, sql("a", "").replace('1', "2")).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(metadata.modified().unwrap()).unwrap();
    }
    let now = fs::metadata(&path).unwrap();
    assert_eq!(now.len(), metadata.len());
    assert_eq!(now.modified().unwrap(), metadata.modified().unwrap());
    assert_ne!(sandbox.imprint(), before);
}

#[test]
fn there_is_no_imprint_of_links() {
    for to in ["a.sql", "../whimbrel.toml", "/etc/passwd", "nowhere", "."] {
        let sandbox = Sandbox::new();
        symlink(to, sandbox.path("migrations/link.sql")).unwrap();
        assert_eq!(sandbox.imprint(), None, "{to}");
    }
}

#[test]
fn an_imprint_leaves_out_what_is_no_part_of_a_migration() {
    let sandbox = Sandbox::new();
    sandbox.write("migrations/m/migration.toml", "");
    sandbox.write("migrations/m/target/x", "");
    sandbox.write("migrations/m/.git/x", "");
    sandbox.write("migrations/other/inner/x", "");
    let before = sandbox.imprint().unwrap();
    sandbox.write("migrations/m/target/x", "changed");
    sandbox.write("migrations/m/.git/y", "");
    sandbox.write("migrations/other/inner/y", "");
    assert_eq!(sandbox.imprint(), Some(before));
}

#[test]
fn an_imprint_covers_what_is_in_the_folder_of_a_migration() {
    let covers = |file: &str| Imprint::covers("migrations/m".into(), file.into());
    assert!(covers("migrations/m/m.wasm"));
    assert!(covers("migrations/m/built/m.wasm"));
    assert!(!covers("migrations/m/target/m.wasm"));
    assert!(!covers("migrations/m/.m.wasm"));
    assert!(!covers("migrations/m.wasm"));
    assert!(!covers("../m.wasm"));
}

#[test]
fn a_record_holds_until_something_changes() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.recall(), None);
    sandbox.remember_after(Duration::ZERO).unwrap();
    let settled = sandbox.recall().unwrap();
    let heads: Vec<&str> = settled.heads.iter().map(RevisionId::as_str).collect();
    assert_eq!(heads, ["b"]);

    sandbox.write("migrations/c.sql", &sql("c", "-- revises: b\n"));
    assert_eq!(sandbox.recall(), None);
}

#[test]
fn a_folder_that_has_just_changed_is_not_recorded() {
    let sandbox = Sandbox::new();
    let refused = sandbox.remember_after(Duration::from_secs(3600));
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::Unsupported);
    assert_eq!(sandbox.recall(), None);
    let records = fs::read_dir(sandbox.cache().join("settled")).unwrap();
    assert_eq!(records.count(), 0);
}

#[test]
fn a_project_is_not_recorded_whose_component_lies_elsewhere() {
    let sandbox = Sandbox::new();
    let manifest = "id = 'c'\nrevises = ['b']\nmessage = 'c'\n";
    let folder = "migrations/c/migration.toml";
    sandbox.write("migrations/c/c.wasm", "");
    sandbox.write(folder, &format!("{manifest}component = 'c.wasm'\n"));
    sandbox.remember_after(Duration::ZERO).unwrap();

    sandbox.write("c.wasm", "");
    sandbox.write(folder, &format!("{manifest}component = '../../c.wasm'\n"));
    let refused = sandbox.remember_after(Duration::ZERO);
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::Unsupported);
}

#[test]
fn a_damaged_record_is_none() {
    let sandbox = Sandbox::new();
    sandbox.remember_after(Duration::ZERO).unwrap();
    let place = sandbox.place();
    let path = place.records.file(&place.name);
    let whole = fs::read_to_string(&path).unwrap();
    for len in 0..whole.len() {
        assert_eq!(Settled::parse(&whole[..len]), None, "{len}");
    }
    fs::write(&path, [0; 208]).unwrap();
    assert_eq!(sandbox.recall(), None);
    fs::write(&path, &whole).unwrap();
    assert_eq!(sandbox.recall().unwrap().write(), whole);
}

#[test]
fn a_record_tells_of_a_database_with_the_same_heads_and_tally() {
    let sandbox = Sandbox::new();
    sandbox.remember_after(Duration::ZERO).unwrap();
    let settled = sandbox.recall().unwrap();
    let tally = settled.tally.clone();
    let reached = |target, glance: Glance| settled.clone().reached(&target, &glance);
    assert!(reached(Target::HEAD, glance(&["b"], &tally)).is_some());
    assert!(reached(Target::HEADS, glance(&["b"], &tally)).is_some());
    for other in [
        glance(&["a"], &tally),
        glance(&["a", "b"], &tally),
        glance(&[], &tally),
        glance(&["b"], ""),
        glance(&["b"], &Tally::default().to_string()),
    ] {
        assert_eq!(reached(Target::HEADS, other), None);
    }
    for target in ["base", "+1", "b"].map(|text| text.parse::<Target>().unwrap()) {
        assert_eq!(reached(target, glance(&["b"], &tally)), None);
    }
}

#[test]
fn a_record_of_two_heads_is_none_of_head() {
    let sandbox = Sandbox::new();
    sandbox.write("migrations/c.sql", &sql("c", "-- revises: a\n"));
    sandbox.remember_after(Duration::ZERO).unwrap();
    let settled = sandbox.recall().unwrap();
    let applied = glance(&["c", "b"], &settled.tally);
    assert_eq!(settled.clone().reached(&Target::HEAD, &applied), None);
    let heads = settled.clone().reached(&Target::HEADS, &applied);
    assert_eq!(heads, Some(settled.heads));
}
