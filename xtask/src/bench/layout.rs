//! A project of one-statement migrations, in the layout of each tool.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::peer::Tool;

/// How the revisions of a project hang together.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Each revises the one before it.
    Line,
    /// In every ten, two revise the same one, and the next merges them.
    Ladder,
}

impl Shape {
    /// The numbers of the revisions that a revision revises.
    fn parents(self, number: usize) -> Vec<usize> {
        match (self, number, number % 10) {
            (_, 1, _) => Vec::new(),
            (Self::Ladder, _, 5) => vec![number - 2],
            (Self::Ladder, _, 6) => vec![number - 2, number - 1],
            _ => vec![number - 1],
        }
    }
}

/// Writes a project of `count` migrations, each of which creates a table.
pub(super) fn write(tool: Tool, folder: &Path, count: usize, shape: Shape) -> Result<()> {
    let migrations = match tool {
        Tool::Alembic => folder.join("versions"),
        _ => folder.join("migrations"),
    };
    fs::create_dir_all(&migrations)?;
    match tool {
        Tool::Whimbrel => fs::write(folder.join("whimbrel.toml"), "")?,
        Tool::Alembic => {
            fs::write(
                folder.join("alembic.ini"),
                "[alembic]\nscript_location = %(here)s\n",
            )?;
            fs::write(folder.join("env.py"), ALEMBIC_ENVIRONMENT)?;
        }
        Tool::Refinery | Tool::Sqlx | Tool::Dbmate => {}
    }
    for number in 1..=count {
        let (name, text) = migration(tool, number, &shape.parents(number));
        fs::write(migrations.join(name), text)?;
    }
    Ok(())
}

/// The identifier of a revision.
pub(super) fn revision(number: usize) -> String {
    format!("{number:012x}")
}

/// The statement of a migration.
fn statement(number: usize) -> String {
    format!(
        "CREATE TABLE t_{} (id bigint PRIMARY KEY, name text);",
        revision(number)
    )
}

/// The lines that name a revision and its parent, with a tool's own quotes and separator.
fn migration(tool: Tool, number: usize, parents: &[usize]) -> (String, String) {
    let (id, statement) = (revision(number), statement(number));
    let parents: Vec<String> = parents.iter().map(|parent| revision(*parent)).collect();
    match tool {
        Tool::Whimbrel => {
            let revises = match parents.as_slice() {
                [] => String::new(),
                parents => format!("-- revises: {}\n", parents.join(", ")),
            };
            let text = format!(
                "-- whimbrel:migration\n-- id: {id}\n{revises}-- message: step\n-- created: 2026-11-22T10:00:00Z\n\
                 -- whimbrel:upgrade\n{statement}\n-- whimbrel:downgrade\nDROP TABLE t_{id};\n"
            );
            (format!("{id}_step.sql"), text)
        }
        Tool::Refinery => (format!("V{number}__step.sql"), format!("{statement}\n")),
        Tool::Sqlx => (format!("{number:014}_step.sql"), format!("{statement}\n")),
        Tool::Dbmate => (
            format!("{number:014}_step.sql"),
            format!("-- migrate:up\n{statement}\n\n-- migrate:down\nDROP TABLE t_{id};\n"),
        ),
        Tool::Alembic => {
            let revises = match parents.as_slice() {
                [] => "None".to_owned(),
                [parent] => format!("'{parent}'"),
                parents => format!("('{}')", parents.join("', '")),
            };
            let text = format!(
                "from alembic import op\n\nrevision = '{id}'\ndown_revision = {revises}\n\n\n\
                 def upgrade():\n    op.execute('{statement}')\n\n\n\
                 def downgrade():\n    op.execute('DROP TABLE t_{id}')\n"
            );
            (format!("{id}_step.py"), text)
        }
    }
}

const ALEMBIC_ENVIRONMENT: &str = "\
import os
from alembic import context
from sqlalchemy import create_engine, pool

url = os.environ['DATABASE_URL'].replace('postgres://', 'postgresql+psycopg2://')
if context.is_offline_mode():
    context.configure(url=url, transaction_per_migration=True, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(url, poolclass=pool.NullPool).connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
";
