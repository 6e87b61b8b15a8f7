//! The behaviours, each a few lines.

use crate::text;
use crate::whimbrel::migrate::log::{self, Level};
use crate::whimbrel::migrate::sql::{self, Cursor};
use crate::whimbrel::migrate::bulk;
use crate::whimbrel::migrate::types::{Batch, ColumnData, Error, Failure, TextForm};

/// A recursive query without end, in the SQL of both databases.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, 'some text to carry along' FROM n";

type Outcome = Result<(), Error>;

pub fn run(name: &str) -> Outcome {
    match name {
        "nothing" => Ok(()),
        "fail" => Err(failure("it gives up")),
        "statement" => statement().map(|_| ()),
        "ignore-error" => {
            let _ = statement();
            Ok(())
        }
        "query" => sql::query(&sql_text(), &[]).map(|_| ()),
        "panic" => panic!("a panic with \u{1b}[31mcolour\u{1b}[0m"),
        "panic-after-error" => panic!("{:?}", statement()),
        "exit" => std::process::exit(3),
        "loop" => loop {
            std::hint::black_box(());
        },
        "memory" => eat_memory(),
        "stack" => {
            deeper(0);
            Ok(())
        }
        "log-lines" => loop {
            log::write(Level::Info, "again");
        },
        "log-bytes" => loop {
            log::write(Level::Info, &"x".repeat(1 << 16));
        },
        "huge-statement" => sql::execute(&"x".repeat(100 << 20), &[]).map(|_| ()),
        "bulk" => {
            let rows = Batch { rows: 3, columns: vec![ColumnData::Int32s(vec![1, 2, 3])], nulls: vec![vec![]] };
            bulk::execute_many("INSERT INTO t_b (n) VALUES ($1)", &rows)?;
            bulk::copy_in("t_b", &["n".to_owned()], &rows).map(|_| ())
        }
        "bulk-lies" => {
            let rows = Batch { rows: u32::MAX, columns: vec![ColumnData::Int32s(vec![1])], nulls: vec![vec![]] };
            bulk::execute_many("SELECT $1", &rows).map(|_| ())
        }
        "bulk-no-columns" => {
            let rows = Batch { rows: u32::MAX, columns: vec![], nulls: vec![] };
            bulk::execute_many("SELECT 1", &rows).map(|_| ())
        }
        "bulk-injection" => {
            let rows = Batch { rows: 1, columns: vec![ColumnData::Int32s(vec![1])], nulls: vec![vec![]] };
            bulk::copy_in("t (n) SELECT 1; --", &["n".to_owned()], &rows).map(|_| ())
        }
        "bulk-injection-out" => {
            bulk::copy_out("t (n) UNION SELECT 1; --", &["n".to_owned()], TextForm::Cells).map(|_| ())
        }
        "endless-query" => sql::query(ENDLESS, &[]).map(|_| ()),
        "endless-cursor" => {
            let cursor = sql::open_cursor(ENDLESS, &[], TextForm::Cells)?;
            while cursor.next(1000)?.is_some() {}
            Ok(())
        }
        "handles" => many_handles(),
        "savepoint-unfinished" => {
            sql::open_savepoint()?;
            Ok(())
        }
        "savepoint-twice" => {
            let savepoint = sql::open_savepoint()?;
            savepoint.release()?;
            savepoint.rollback()
        }
        "savepoint-order" => {
            let outer = sql::open_savepoint()?;
            let _inner = sql::open_savepoint()?;
            outer.release()
        }
        "savepoint-saves" => {
            let savepoint = sql::open_savepoint()?;
            let failed = statement();
            savepoint.rollback()?;
            match failed {
                Ok(_) => Err(failure("the statement should have failed")),
                Err(_) => Ok(()),
            }
        }
        "cursor-outlived" => {
            let savepoint = sql::open_savepoint()?;
            let cursor = sql::open_cursor(&sql_text(), &[], TextForm::Cells)?;
            savepoint.rollback()?;
            cursor.next(1).map(|_| ())
        }
        "cursor-dropped-twice" => {
            let cursor = sql::open_cursor(&sql_text(), &[], TextForm::Cells)?;
            // SAFETY: this is the misuse that the host must survive; the bindings own the handle once only.
            drop(unsafe { Cursor::from_handle(cursor.handle()) });
            drop(cursor);
            Ok(())
        }
        "cursor-zero" => {
            let cursor = sql::open_cursor(&sql_text(), &[], TextForm::Cells)?;
            cursor.next(0).map(|_| ())
        }
        other => Err(failure(&format!("no behaviour `{other}`"))),
    }
}

fn failure(message: &str) -> Error {
    Error::Failed(Failure { message: message.to_owned(), hint: None, trace: None, cause: None })
}

fn sql_text() -> String {
    text("sql").unwrap_or_else(|| "SELECT 1".to_owned())
}

fn statement() -> Result<i64, Error> {
    sql::execute(&sql_text(), &[])
}

fn eat_memory() -> Outcome {
    let mut eaten = Vec::new();
    loop {
        eaten.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(std::hint::black_box(depth) + 1)) + 1
}

fn many_handles() -> Outcome {
    let mut cursors: Vec<Cursor> = Vec::new();
    for _ in 0..1_000_000 {
        match sql::open_cursor(&sql_text(), &[], TextForm::Cells) {
            Ok(cursor) => cursors.push(cursor),
            Err(_) => break,
        }
    }
    Ok(())
}
