//! What people write: capabilities, SQL files and manifests.

use std::io;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use whimbrel::capability::{Capabilities, Capability};
use whimbrel::config::{Folders, Nesting};
use whimbrel::source::{Entry, EntryKind, Files, MANIFEST_FILE, Migrations};

pub(crate) const CAPABILITIES: &[&str] = &[
    "select users(id, email)",
    "insert orders",
    "update app.users(\"Odd \"\"Name\")",
    "create table public.tag_*",
    "truncate *.t",
    "code trigger on users",
    "call public.slug",
    "grant on \"a.b\"",
    "extension citext",
    "copy \"a\\*b\"",
    "drop index x; select y",
];

pub(crate) const SQL_FILES: &[&str] = &[
    "-- whimbrel:migration\n-- id: 8f2c1d7a90be\n-- message: x\n-- revises: aaaaaaaaaaaa\n-- capabilities: select a(b)\n\n-- whimbrel:upgrade\nSELECT 1;\n-- whimbrel:downgrade\nSELECT 2;\n",
    "-- whimbrel:migration\n-- id: 8f2c1d7a90be\n-- message: x\n\n-- whimbrel:upgrade postgresql\nSELECT $$;$$;\n-- whimbrel:upgrade sqlite\nSELECT ';';\n",
];

pub(crate) const MANIFESTS: &[&str] = &[
    "id = \"8f2c1d7a90be\"\nmessage = \"x\"\nrevises = []\n\n[capabilities]\nselect = [\"users(id)\"]\nddl = [\"create table tag_*\"]\n\n[limits]\nmemory = \"64 MiB\"\nfuel = 5\ntime = \"1s\"\nstatements = 3\n",
];

/// A capability's text says all of it.
pub(crate) fn capability(text: &str) {
    if let Ok(read) = text.parse::<Capability>() {
        let printed = read.to_string();
        let again = printed.parse::<Capability>();
        assert!(
            again.as_ref() == Ok(&read),
            "{text:?} is {read:?}, and {printed:?} is {again:?}"
        );
        assert!(read.covers(&read), "{printed:?} does not cover itself");
    }
    if let Ok(read) = text.parse::<Capabilities>() {
        let printed: Vec<String> = read.iter().map(ToString::to_string).collect();
        let again = printed.join("; ").parse::<Capabilities>();
        assert!(
            again.as_ref() == Ok(&read),
            "{text:?} is {read:?}, and {printed:?} is {again:?}"
        );
    }
}

/// One file in a folder of migrations.
struct OneFile {
    path: &'static str,
    text: String,
}

impl Files for OneFile {
    fn list(&self, folder: &Utf8Path) -> io::Result<Vec<Entry>> {
        let inside = Utf8Path::new(self.path)
            .strip_prefix(folder)
            .map_err(|_| io::ErrorKind::NotFound)?;
        let mut parts = inside.components();
        let name = parts
            .next()
            .map(|part| part.as_str().to_owned())
            .ok_or(io::ErrorKind::NotFound)?;
        let kind = match parts.next() {
            Some(_) => EntryKind::Folder,
            None => EntryKind::File,
        };
        Ok(vec![Entry { name, kind }])
    }

    fn read(&self, path: &Utf8Path) -> io::Result<Vec<u8>> {
        match path == self.path {
            true => Ok(self.text.clone().into_bytes()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        Utf8Path::new(self.path).starts_with(path)
    }
}

/// What is read twice is the same, and so are the errors.
fn read_as(path: &'static str, text: &str) {
    let folders = Folders {
        paths: vec![Utf8PathBuf::from("m")],
        nesting: Nesting::default(),
    };
    let files = Arc::new(OneFile {
        path,
        text: text.to_owned(),
    });
    let outcome = || match Migrations::read(files.clone(), &folders) {
        Ok(migrations) => format!("{:?}", migrations.revisions()),
        Err(errors) => errors.to_string(),
    };
    assert_eq!(outcome(), outcome());
}

pub(crate) fn sql_file(text: &str) {
    read_as("m/one.sql", text);
}

pub(crate) fn manifest(text: &str) {
    assert_eq!(MANIFEST_FILE, "migration.toml");
    read_as("m/one/migration.toml", text);
}
