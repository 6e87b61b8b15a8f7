//! `cargo xtask demo`: the reference project on a fresh SQLite file, from nothing to head, back to base, and up again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::install;
use crate::process::{cargo, root, run, target_folder};
use crate::seed;
use crate::table::{self, heading};

/// The last revision before those that put data in order.
const BEFORE_DATA: &str = "4d08c5e71fa2";

const USERS_BEFORE: &str = "SELECT id, full_name, postal_address FROM users ORDER BY id LIMIT 8";
const USERS_AFTER: &str = "SELECT id, title, given_name, family_name, street, house_number, postal_code, city, country FROM users ORDER BY id LIMIT 8";
const PROJECTS_BEFORE: &str =
    "SELECT code, name, starts_on, ends_on, checksum FROM projects ORDER BY id LIMIT 5";
const PROJECTS_AFTER: &str =
    "SELECT code, name, status, checksum FROM projects ORDER BY id LIMIT 5";
const LOAD: &str = "SELECT name, city, assignments, percent FROM resource_load ORDER BY percent DESC, name LIMIT 5";

/// How large the demonstration is.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many users the database has before its data is migrated; everything else follows from it.
    #[arg(long, default_value_t = 1_000)]
    users: usize,
}

/// Runs the demonstration.
pub(crate) fn run_demo(options: &Options) -> Result<()> {
    let demo = Demo::prepare()?;

    heading("The revisions of migrations/");
    demo.whimbrel(&["history"])?;

    heading("Up to the tables as they were in March");
    demo.whimbrel(&["upgrade", BEFORE_DATA])?;
    let database = demo.open()?;
    database
        .execute_batch(&seed::sql(options.users))
        .context("the seed does not fit the tables")?;
    print_tables(&database)?;

    heading("Users and projects, as many hands typed them");
    print_query(&database, USERS_BEFORE)?;
    println!();
    print_query(&database, PROJECTS_BEFORE)?;

    heading("Up to head");
    demo.whimbrel(&["upgrade", "head"])?;

    heading("The same users and projects, and what can be asked now");
    print_query(&database, USERS_AFTER)?;
    println!();
    print_query(&database, PROJECTS_AFTER)?;
    println!();
    print_query(&database, LOAD)?;
    print_tables(&database)?;

    heading("Down to base, and up again");
    demo.whimbrel(&["downgrade", "base"])?;
    print_tables(&database)?;
    println!();
    demo.whimbrel(&["upgrade", "head"])?;
    demo.whimbrel(&["current"])?;

    println!("\nThe database is {}", demo.database.display());
    Ok(())
}

struct Demo {
    program: PathBuf,
    database: PathBuf,
}

impl Demo {
    /// Builds the program, and makes room for a fresh database file.
    fn prepare() -> Result<Self> {
        install::libclang()?;
        run(cargo().args(["build", "--quiet", "--package", "whimbrel"]))?;
        let folder = target_folder().join("demo");
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        Ok(Self {
            program: target_folder().join("debug/whimbrel"),
            database: folder.join("demo.db"),
        })
    }

    /// Shows a command, runs it on the reference project, and says how long it took.
    fn whimbrel(&self, arguments: &[&str]) -> Result<()> {
        println!("$ whimbrel {}", arguments.join(" "));
        let started = Instant::now();
        run(Command::new(&self.program)
            .current_dir(root())
            .args(["-C", "migrations", "--database"])
            .arg(format!("sqlite:{}", self.database.display()))
            .args(arguments))?;
        println!("({:.2} s)", started.elapsed().as_secs_f64());
        Ok(())
    }

    fn open(&self) -> Result<Connection> {
        Connection::open(&self.database)
            .with_context(|| format!("cannot open {}", self.database.display()))
    }
}

/// Every table of the project, with the number of its columns and rows.
fn print_tables(database: &Connection) -> Result<()> {
    println!();
    let mut statement = database.prepare(
        "SELECT t.name, (SELECT count(*) FROM pragma_table_info(t.name)) FROM sqlite_schema t
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE 'whimbrel_%' ORDER BY t.name",
    )?;
    let tables = statement
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let rows = tables
        .into_iter()
        .map(|(name, columns)| {
            let count = format!("SELECT count(*) FROM \"{name}\"");
            let rows: i64 = database.query_row(&count, [], |row| row.get(0))?;
            Ok(vec![name, columns.to_string(), rows.to_string()])
        })
        .collect::<Result<Vec<_>>>()?;
    if rows.is_empty() {
        println!("  no tables");
    } else {
        table::print(&["table", "columns", "rows"], &rows);
    }
    Ok(())
}

fn print_query(database: &Connection, sql: &str) -> Result<()> {
    let mut statement = database.prepare(sql)?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    let rows = statement
        .query_map([], |row| {
            (0..columns.len())
                .map(|index| row.get_ref(index).map(text))
                .collect()
        })?
        .collect::<rusqlite::Result<Vec<Vec<String>>>>()?;
    table::print(&names, &rows);
    Ok(())
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "∅".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}
