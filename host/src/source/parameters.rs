//! Parameters of a migration: defaults, and what a run puts over them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::Problem;
use crate::digest::Digest;

/// The defaults with the run's parameters over them.
pub(super) fn resolve(
    defaults: &Map<String, Value>,
    run: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, Problem> {
    let mut resolved = defaults.clone();
    for (name, given) in run {
        let value = match defaults.get(name) {
            Some(default) => like(default, given).ok_or_else(|| Problem::Parameter {
                name: name.clone(),
                given: given.clone(),
                expected: type_name(default),
            })?,
            None => untyped(given),
        };
        resolved.insert(name.clone(), value);
    }
    Ok(resolved)
}

/// A parameter that no default gives a type: JSON where it reads as JSON, else text.
fn untyped(given: &str) -> Value {
    serde_json::from_str(given).unwrap_or_else(|_| given.into())
}

/// `given`, read as the type that `default` has.
fn like(default: &Value, given: &str) -> Option<Value> {
    if default.is_string() {
        return Some(given.into());
    }
    let value: Value = serde_json::from_str(given).ok()?;
    let fits = match default {
        Value::Number(number) if !number.is_f64() => value.is_i64() || value.is_u64(),
        Value::Number(_) => value.is_number(),
        Value::Bool(_) => value.is_boolean(),
        Value::Array(_) => value.is_array(),
        Value::Object(_) => value.is_object(),
        Value::Null | Value::String(_) => true,
    };
    fits.then_some(value)
}

fn type_name(default: &Value) -> &'static str {
    match default {
        Value::Null => "JSON value",
        Value::Bool(_) => "truth value (true or false)",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "whole number",
        Value::String(_) => "text",
        Value::Array(_) => "JSON array",
        Value::Object(_) => "JSON object",
    }
}

/// The digest of parameters, whatever order they were written in.
pub(super) fn digest(params: &Map<String, Value>) -> Digest {
    let mut text = String::new();
    write_sorted(&Value::Object(params.clone()), &mut text);
    Digest::of(text.as_bytes())
}

fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            text.push('{');
            for (key, value) in sorted {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_sorted(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_sorted(item, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_run_parameter_takes_the_type_of_its_default() {
        let defaults = map(json!({"code": "x", "size": 1, "share": 0.5, "keep": true}));
        let run = given(&[
            ("code", "007"),
            ("size", "20"),
            ("share", "2"),
            ("keep", "false"),
        ]);
        assert_eq!(
            resolve(&defaults, &run).unwrap(),
            map(json!({"code": "007", "size": 20, "share": 2, "keep": false}))
        );
    }

    #[test]
    fn a_run_parameter_of_the_wrong_type_is_refused() {
        let defaults = map(json!({"size": 1}));
        let problem = resolve(&defaults, &given(&[("size", "2.5")])).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "-x size=2.5: the parameter is a whole number"
        );
    }

    #[test]
    fn a_run_parameter_without_default_is_json_or_text() {
        let run = given(&[("list", "[1, 2]"), ("name", "Ada")]);
        assert_eq!(
            resolve(&Map::new(), &run).unwrap(),
            map(json!({"list": [1, 2], "name": "Ada"}))
        );
    }
}
