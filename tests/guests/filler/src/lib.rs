//! A backfill of the table `items` that does as the parameter `mode` says: `right`, or one of the ways of a guest that is
//! wrong or means harm. It reads `amount`, `runs` and `remark`, and writes `doubled`, `runs` and `remark`.

wit_bindgen::generate!({ path: "../../../wit", world: "backfill" });

use exports::whimbrel::migrate::rows::{
    Batch, Changed, Description, Error, Guest, Order, Outcome, TextForm, Verdict,
};
use whimbrel::migrate::types::{Cells, ColumnData, Failure};
use whimbrel::migrate::{context, log};

struct Filler;

impl Guest for Filler {
    fn describe() -> Result<Description, Error> {
        if matches!(context::direction(), context::StepDirection::Downgrade) {
            return Err(failure("there is no way back"));
        }
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let mut told = Description {
            table: "items".to_owned(),
            key: Vec::new(),
            reads: names(&["amount", "runs", "remark"]),
            writes: names(&["doubled", "runs", "remark"]),
            condition: None,
            order: Order::Descending,
            changed: Some(Changed::Again),
            keep_old_values: false,
            may_drop: false,
            batch_milliseconds: Some(50),
            workers: Some(2),
            text: TextForm::Strings,
        };
        match mode().as_str() {
            "no-table" => told.table = "nowhere; DROP TABLE items".to_owned(),
            "other-column" => told.writes[2] = "id\", \"amount".to_owned(),
            "escape" => told.condition = Some("true) OR (SELECT count(*) FROM whimbrel_version) > 0 OR (true".to_owned()),
            "two-statements" => told.condition = Some("true; DELETE FROM items".to_owned()),
            "comment" => told.condition = Some("id % 2 = 0 -- and the rest of it".to_owned()),
            "other-table" => told.condition = Some("amount IN (SELECT secret FROM secrets)".to_owned()),
            "no-batch" => told.batch_milliseconds = Some(0),
            "many-workers" => told.workers = Some(u32::MAX),
            "spin-in-describe" => loop {
                std::hint::black_box(0);
            },
            _ => {}
        }
        Ok(told)
    }

    fn transform(given: Batch) -> Result<Outcome, Error> {
        let rows = given.rows as usize;
        let ColumnData::Int32s(amounts) = &given.columns[0] else {
            return wide(&given);
        };
        let ColumnData::Int32s(runs) = &given.columns[1] else {
            return Err(failure("`runs` is of another type"));
        };
        let doubled: Vec<i32> = amounts.iter().map(|amount| amount.wrapping_mul(2)).collect();
        let runs: Vec<i32> = runs.iter().map(|runs| runs + 1).collect();
        made(rows, ColumnData::Int32s(doubled), ColumnData::Int32s(runs), &amounts.iter().map(|amount| (*amount).into()).collect::<Vec<i64>>())
    }
}

/// SQLite's integers.
fn wide(given: &Batch) -> Result<Outcome, Error> {
    let (ColumnData::Int64s(amounts), ColumnData::Int64s(runs)) = (&given.columns[0], &given.columns[1]) else {
        return Err(failure("the columns are of other types"));
    };
    let doubled: Vec<i64> = amounts.iter().map(|amount| amount.wrapping_mul(2)).collect();
    let runs: Vec<i64> = runs.iter().map(|runs| runs + 1).collect();
    made(given.rows as usize, ColumnData::Int64s(doubled), ColumnData::Int64s(runs), amounts)
}

fn made(rows: usize, doubled: ColumnData, runs: ColumnData, amounts: &[i64]) -> Result<Outcome, Error> {
    let remarks = vec!["done".to_owned(); rows];
    let mut outcome = Outcome {
        values: Batch {
            rows: rows as u32,
            columns: vec![doubled, runs, ColumnData::Strings(remarks)],
            nulls: vec![Vec::new(), Vec::new(), Vec::new()],
        },
        verdicts: Vec::new(),
    };
    let unlucky = amounts.iter().any(|amount| *amount == 13);
    match mode().as_str() {
        "trap" if unlucky => panic!("thirteen"),
        "spin" if unlucky => loop {
            std::hint::black_box(0);
        },
        "fill-memory" if unlucky => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(vec![1; 1 << 20]);
            }
        }
        "fail" => {
            outcome.verdicts = amounts
                .iter()
                .map(|amount| match amount {
                    13 => Verdict::Fail("thirteen\u{1b}[31m\n is\u{7} unlucky".to_owned()),
                    _ => Verdict::Write,
                })
                .collect();
        }
        "drop" => outcome.verdicts = vec![Verdict::Drop; rows],
        "fewer-rows" => outcome.values.rows = outcome.values.rows.saturating_sub(1),
        "fewer-columns" => {
            outcome.values.columns.pop();
            outcome.values.nulls.pop();
        }
        "fewer-verdicts" => outcome.verdicts = vec![Verdict::Keep; rows / 2],
        "more-verdicts" => outcome.verdicts = vec![Verdict::Write; rows * 2 + 1],
        "lying-offsets" => {
            outcome.values.columns[2] = ColumnData::Texts(Cells {
                offsets: vec![u32::MAX; rows + 1],
                data: b"x".to_vec(),
            });
        }
        "no-text" => {
            outcome.values.columns[2] = ColumnData::Texts(Cells {
                offsets: (0..=rows as u32).collect(),
                data: vec![0xff; rows],
            });
        }
        "talk" => {
            for _ in 0..1_000_000 {
                log::write(log::Level::Info, "talk, talk, talk");
            }
        }
        _ => {}
    }
    Ok(outcome)
}

fn mode() -> String {
    context::parameter("mode")
        .map_or_else(|| "right".to_owned(), |json| json.trim_matches('"').to_owned())
}

fn failure(message: &str) -> Error {
    Error::Failed(Failure {
        message: message.to_owned(),
        hint: None,
        trace: None,
        cause: None,
    })
}

export!(Filler);
