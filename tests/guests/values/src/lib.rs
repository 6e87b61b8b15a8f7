//! A guest that sends every value that it reads back: it runs the statement of the parameter `read` and, for each
//! row, the statement of the parameter `write` with the row's values. With the parameter `through` set to `batch` or
//! `cursor` it reads by columns; set to `many` it sends back whole batches, and set to `copy` it copies them into the table
//! that `write` names, with the columns of the parameter `columns`. Set to `out_of` it copies those columns out of the table that
//! `read` names.

wit_bindgen::generate!({ path: "../../../wit", world: "migration" });

use whimbrel::migrate::types::{Batch, Cells, ColumnData, Failure, TextForm, Value};
use whimbrel::migrate::{bulk, context, sql};

struct Values;

impl Guest for Values {
    fn upgrade() -> Result<(), Error> {
        let (read, write) = (text("read")?, text("write")?);
        let rows = match text("through").unwrap_or_default().as_str() {
            "batch" => rows(sql::query_batch(&read, &[], TextForm::Cells)?.batch),
            "cursor" => {
                let cursor = sql::open_cursor(&read, &[], TextForm::Strings)?;
                let mut all = Vec::new();
                while let Some(batch) = cursor.next(2)? {
                    all.extend(rows(batch));
                }
                all
            }
            "many" => {
                let cursor = sql::open_cursor(&read, &[], TextForm::Cells)?;
                while let Some(batch) = cursor.next(1000)? {
                    bulk::execute_many(&write, &batch)?;
                }
                return Ok(());
            }
            "copy" => {
                let columns: Vec<String> = text("columns")?.split(", ").map(str::to_owned).collect();
                let cursor = sql::open_cursor(&read, &[], TextForm::Strings)?;
                while let Some(batch) = cursor.next(1000)? {
                    bulk::copy_in(&write, &columns, &batch)?;
                }
                return Ok(());
            }
            "out_of" => {
                let columns: Vec<String> = text("columns")?.split(", ").map(str::to_owned).collect();
                let cursor = bulk::copy_out(&read, &columns, TextForm::Cells)?;
                while let Some(batch) = cursor.next(1000)? {
                    bulk::execute_many(&write, &batch)?;
                }
                return Ok(());
            }
            _ => sql::query(&read, &[])?.rows,
        };
        for row in rows {
            sql::execute(&write, &row)?;
        }
        Ok(())
    }

    fn downgrade() -> Result<(), Error> {
        Err(failure("the guest `values` has no downgrade"))
    }
}

/// A parameter whose JSON is a plain string without escapes.
fn text(name: &str) -> Result<String, Error> {
    let json = context::parameter(name).ok_or_else(|| failure(&format!("no parameter `{name}`")))?;
    Ok(json.trim_matches('"').to_owned())
}

fn failure(message: &str) -> Error {
    Error::Failed(Failure { message: message.to_owned(), hint: None, trace: None, cause: None })
}

fn rows(batch: Batch) -> Vec<Vec<Value>> {
    let row = |row: usize| {
        let columns = batch.columns.iter().zip(&batch.nulls);
        columns.map(|(data, nulls)| if is_null(nulls, row) { Value::Null } else { value(data, row) }).collect()
    };
    (0..batch.rows as usize).map(row).collect()
}

fn is_null(nulls: &[u8], row: usize) -> bool {
    nulls.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
}

fn value(data: &ColumnData, row: usize) -> Value {
    match data {
        ColumnData::Booleans(v) => Value::Boolean(v[row] == 1),
        ColumnData::Int32s(v) => Value::Int32(v[row]),
        ColumnData::Int64s(v) => Value::Int64(v[row]),
        ColumnData::Float64s(v) => Value::Float64(v[row]),
        ColumnData::Texts(cells) => Value::Text(String::from_utf8_lossy(cell(cells, row)).into_owned()),
        ColumnData::Blobs(cells) => Value::Bytes(cell(cells, row).to_vec()),
        ColumnData::Strings(v) => Value::Text(v[row].clone()),
        ColumnData::Values(v) => v[row].clone(),
    }
}

fn cell(cells: &Cells, row: usize) -> &[u8] {
    &cells.data[cells.offsets[row] as usize..cells.offsets[row + 1] as usize]
}

export!(Values);
