//! The batches that guests send: nothing about them is taken on trust.

use crate::driver::{Batch, Cells, DriverError, Run, Value};
use crate::wasm::bindings::whimbrel::migrate::types::{
    Batch as Sent, Cells as SentCells, ColumnData,
};

/// Reads a batch.
///
/// # Errors
/// [`DriverError::Conversion`] says what is wrong with which column.
pub(crate) fn sent_batch(sent: Sent) -> Result<Batch, DriverError> {
    let Sent {
        rows,
        columns,
        nulls,
    } = sent;
    let len = rows as usize;
    if columns.is_empty() {
        return Err(DriverError::Conversion(
            "the batch has no columns".to_owned(),
        ));
    }
    if nulls.len() != columns.len() {
        return Err(DriverError::Conversion(format!(
            "the batch has {} columns and {} bitmaps of nulls",
            columns.len(),
            nulls.len()
        )));
    }
    let columns = columns
        .into_iter()
        .zip(nulls)
        .enumerate()
        .map(|(at, (data, nulls))| {
            column(len, data, nulls).map_err(|why| {
                DriverError::Conversion(format!("column {} of the batch: {why}", at + 1))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Batch::new(len, columns))
}

fn column(len: usize, data: ColumnData, nulls: Vec<u8>) -> Result<Cells, String> {
    if !nulls.is_empty() && nulls.len() != len.div_ceil(8) {
        return Err(format!(
            "its bitmap of nulls has {} bytes for {len} rows",
            nulls.len()
        ));
    }
    let run = match data {
        ColumnData::Booleans(truths) => {
            if let Some(odd) = truths.iter().find(|&&truth| truth > 1) {
                return Err(format!("a truth value is {odd}"));
            }
            Run::Booleans(counted(truths, len)?)
        }
        ColumnData::Int32s(numbers) => Run::Int32s(counted(numbers, len)?),
        ColumnData::Int64s(numbers) => Run::Int64s(counted(numbers, len)?),
        ColumnData::Float64s(numbers) => Run::Float64s(counted(numbers, len)?),
        ColumnData::Texts(SentCells { offsets, data }) => {
            let text = String::from_utf8(data)
                .map_err(|error| format!("its text is not UTF-8: {}", error.utf8_error()))?;
            let ends = ends(&offsets, text.len(), len)?;
            if let Some(end) = ends.iter().find(|&&end| !text.is_char_boundary(end)) {
                return Err(format!(
                    "the cell that ends at {end} ends within a character"
                ));
            }
            Run::Texts(text, ends)
        }
        ColumnData::Blobs(SentCells { offsets, data }) => {
            let ends = ends(&offsets, data.len(), len)?;
            Run::Blobs(data, ends)
        }
        ColumnData::Strings(texts) => {
            let texts = counted(texts, len)?;
            let mut ends = Vec::with_capacity(len);
            let mut all = String::with_capacity(texts.iter().map(String::len).sum());
            for text in texts {
                all.push_str(&text);
                ends.push(all.len());
            }
            Run::Texts(all, ends)
        }
        ColumnData::Values(values) => {
            Run::Values(counted(values, len)?.into_iter().map(Value::from).collect())
        }
    };
    Ok(Cells::from_parts(len, run, nulls))
}

fn counted<T>(values: Vec<T>, len: usize) -> Result<Vec<T>, String> {
    match values.len() {
        found if found == len => Ok(values),
        found => Err(format!("it has {found} values for {len} rows")),
    }
}

/// Where each cell ends, from where each begins and the last one ends.
fn ends(offsets: &[u32], size: usize, len: usize) -> Result<Vec<usize>, String> {
    if offsets.len() != len + 1 {
        return Err(format!(
            "it has {} offsets for {len} rows, which take one more than there are rows",
            offsets.len()
        ));
    }
    if offsets[0] != 0 || !offsets.is_sorted() || offsets[len] as usize != size {
        return Err(format!(
            "its offsets do not lead from 0 to {size}, the end of its data, without going back"
        ));
    }
    Ok(offsets[1..].iter().map(|&end| end as usize).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn cells(offsets: &[u32], data: &str) -> ColumnData {
        ColumnData::Texts(SentCells {
            offsets: offsets.to_vec(),
            data: data.into(),
        })
    }

    fn one(rows: u32, data: ColumnData, nulls: &[u8]) -> Result<Batch, DriverError> {
        sent_batch(Sent {
            rows,
            columns: vec![data],
            nulls: vec![nulls.to_vec()],
        })
    }

    #[test]
    fn columns_of_every_form_are_read() {
        let batch = sent_batch(Sent {
            rows: 2,
            columns: vec![
                ColumnData::Int64s(vec![7, 0]),
                cells(&[0, 3, 3], "äb"),
                ColumnData::Strings(vec!["x".to_owned(), "yz".to_owned()]),
                ColumnData::Booleans(vec![1, 0]),
            ],
            nulls: vec![vec![0b10], vec![], vec![], vec![0b01]],
        })
        .unwrap();
        assert_eq!(
            batch.row(0),
            [Value::Int64(7), "äb".into(), "x".into(), Value::Null]
        );
        assert_eq!(
            batch.row(1),
            [Value::Null, "".into(), "yz".into(), Value::Boolean(false)]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = [
            one(2, ColumnData::Int64s(vec![1]), &[]),
            one(1, ColumnData::Int64s(vec![1]), &[0, 0]),
            one(9, ColumnData::Int64s(vec![1; 9]), &[0]),
            one(1, ColumnData::Booleans(vec![2]), &[]),
            one(1, cells(&[0], "a"), &[]),
            one(1, cells(&[0, 2], "a"), &[]),
            one(1, cells(&[0, 0], "a"), &[]),
            one(1, cells(&[1, 1], "a"), &[]),
            one(2, cells(&[0, 1, 2], "ä"), &[]),
            one(2, cells(&[0, 2, 1], "ab"), &[]),
            one(2, cells(&[0, u32::MAX, 2], "ab"), &[]),
            one(
                1,
                ColumnData::Texts(SentCells {
                    offsets: vec![0, 1],
                    data: vec![0xff],
                }),
                &[],
            ),
            sent_batch(Sent {
                rows: u32::MAX,
                columns: vec![],
                nulls: vec![],
            }),
            sent_batch(Sent {
                rows: 0,
                columns: vec![ColumnData::Int64s(vec![])],
                nulls: vec![],
            }),
        ];
        for (at, refused) in refused.into_iter().enumerate() {
            assert!(
                matches!(refused, Err(DriverError::Conversion(_))),
                "{at}: {refused:?}"
            );
        }
    }

    #[test]
    fn bits_beyond_the_rows_mean_nothing() {
        let batch = one(2, ColumnData::Int64s(vec![1, 2]), &[0b1111_1100]).unwrap();
        let same = one(2, ColumnData::Int64s(vec![1, 2]), &[]).unwrap();
        assert_eq!(batch, same);
    }
}
