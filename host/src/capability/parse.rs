//! Capabilities as people write them.

use std::collections::BTreeSet;
use std::str::{Chars, FromStr};

use thiserror::Error;

use super::pattern::{Glob, Pattern};
use super::{Action, Capability, Columns};

/// Why a text is no capability.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no capability: {reason}")]
pub struct InvalidCapability {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Longer texts are refused.
const MAX_BYTES: usize = 4096;

impl FromStr for Capability {
    type Err = InvalidCapability;

    fn from_str(text: &str) -> Result<Self, InvalidCapability> {
        parse(text).map_err(|reason| InvalidCapability {
            text: text.chars().take(80).collect(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<Capability, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    let (action, rest) = action(text)?;
    object(action, rest)
}

/// The object of an action: `users`, `app.users(id, name)`, `tag_*`.
pub(super) fn object(action: Action, text: &str) -> Result<Capability, String> {
    let mut rest = text.trim().chars();
    let mut object = Pattern {
        schema: None,
        name: glob(&mut rest)?,
    };
    if eat(&mut rest, '.') {
        object = Pattern {
            schema: Some(object.name),
            name: glob(&mut rest)?,
        };
    }
    skip_spaces(&mut rest);
    let columns = match rest.as_str() {
        "" => Columns::All,
        _ if !eat(&mut rest, '(') => return Err(format!("`{}` is not expected", rest.as_str())),
        _ if !action.has_columns() => return Err(format!("`{action}` is not of single columns")),
        _ => columns(&mut rest)?,
    };
    Ok(Capability {
        action,
        object,
        columns,
    })
}

/// The longest words that name an action, and what comes behind them.
fn action(text: &str) -> Result<(Action, &str), String> {
    let text = text.trim();
    Action::NAMED
        .iter()
        .filter_map(|action| Some((*action, after_words(text, action.words())?)))
        .max_by_key(|(action, _)| action.words().len())
        .ok_or_else(|| {
            "it must begin with select, insert, update, delete, truncate, copy, `create table` and its like, alter, drop, code, \
             `grant on`, call or extension, and then name what it is about"
                .to_owned()
        })
}

/// What comes behind some words, whatever their case and the spaces between them.
fn after_words<'t>(text: &'t str, words: &str) -> Option<&'t str> {
    let mut rest = text;
    for word in words.split(' ') {
        let start = rest.trim_start();
        let (found, after) = start.split_at_checked(word.len())?;
        if !found.eq_ignore_ascii_case(word) || !after.starts_with(char::is_whitespace) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

fn columns(rest: &mut Chars<'_>) -> Result<Columns, String> {
    let mut names = BTreeSet::new();
    skip_spaces(rest);
    while !eat(rest, ')') {
        let Glob(parts) = glob(rest)?;
        let [name] = parts.as_slice() else {
            return Err("columns are named one by one, without `*`".to_owned());
        };
        names.insert(name.clone());
        skip_spaces(rest);
        if !eat(rest, ',') && !rest.as_str().starts_with(')') {
            return Err("`)` is missing".to_owned());
        }
        skip_spaces(rest);
    }
    match rest.as_str().trim() {
        "" => Ok(Columns::Some(names)),
        more => Err(format!("`{more}` is not expected")),
    }
}

/// A name, folded as SQL folds it, or in quotes as it stands.
fn glob(rest: &mut Chars<'_>) -> Result<Glob, String> {
    skip_spaces(rest);
    let mut parts = vec![String::new()];
    let mut push = |c: Option<char>| match (c, parts.last_mut()) {
        (Some(c), Some(part)) => part.push(c),
        _ => parts.push(String::new()),
    };
    let before = rest.as_str();
    if eat(rest, '"') {
        loop {
            match rest.next() {
                None => return Err("`\"` is missing".to_owned()),
                Some('\0') => return Err("no name has a NUL character".to_owned()),
                Some('\\') => match rest.next() {
                    None => return Err("`\"` is missing".to_owned()),
                    Some('\0') => return Err("no name has a NUL character".to_owned()),
                    escaped => push(escaped),
                },
                Some('*') => push(None),
                Some('"') if !eat(rest, '"') => break,
                Some(c) => push(Some(c)),
            }
        }
        if rest.as_str().len() + 2 == before.len() {
            return Err("a name is empty".to_owned());
        }
        return Ok(Glob(parts));
    }
    while let Some(c) = rest.clone().next() {
        match c {
            '*' => push(None),
            c if c.is_alphanumeric() || c == '_' || c == '$' => {
                push(Some(if c.is_ascii() {
                    c.to_ascii_lowercase()
                } else {
                    c
                }));
            }
            _ => break,
        }
        rest.next();
    }
    match rest.as_str().len() == before.len() {
        true => Err("the name of an object is missing".to_owned()),
        false => Ok(Glob(parts)),
    }
}

fn eat(rest: &mut Chars<'_>, wanted: char) -> bool {
    let found = rest.as_str().starts_with(wanted);
    if found {
        rest.next();
    }
    found
}

fn skip_spaces(rest: &mut Chars<'_>) {
    while rest.as_str().starts_with(char::is_whitespace) {
        rest.next();
    }
}
