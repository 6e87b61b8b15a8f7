//! A project of one-statement migrations, in the layout of each tool.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::peer::Tool;

/// Writes a project of `count` migrations, each of which creates a table.
pub(super) fn write(tool: Tool, folder: &Path, count: usize) -> Result<()> {
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
        let (name, text) = migration(tool, number);
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
fn migration(tool: Tool, number: usize) -> (String, String) {
    let (id, statement) = (revision(number), statement(number));
    match tool {
        Tool::Whimbrel => {
            let revises = match number {
                1 => String::new(),
                _ => format!("-- revises: {}\n", revision(number - 1)),
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
            let revises = match number {
                1 => "None".to_owned(),
                _ => format!("'{}'", revision(number - 1)),
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
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
";
