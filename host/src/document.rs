//! TOML documents, with errors that say the line and guess what was meant.

use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a text is not the document that it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub(crate) struct DocumentError {
    /// The 1-based line, where the parser knows it.
    pub(crate) line: Option<u32>,
    /// What is wrong, in one line.
    pub(crate) message: String,
}

/// Reads a document.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    toml::from_str(text).map_err(|error| DocumentError {
        line: error.span().map(|span| line_at(text, span.start)),
        message: explain(error.message()),
    })
}

/// The 1-based line of a byte offset.
pub(crate) fn line_at(text: &str, offset: usize) -> u32 {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let newlines = before.iter().filter(|&&byte| byte == b'\n').count();
    u32::try_from(newlines + 1).unwrap_or(u32::MAX)
}

/// Adds a guess to what serde says about a key that it does not know.
fn explain(message: &str) -> String {
    let message = message.trim_end().replace('\n', " ");
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown field") {
        return message;
    }
    let Some(key) = quoted.next() else {
        return message;
    };
    let known: Vec<&str> = quoted.collect();
    match nearest(key, known.iter().copied()) {
        Some(guess) => format!("unknown key `{key}`; did you mean `{guess}`?"),
        None => format!("unknown key `{key}`; known are {}", known.join(", ")),
    }
}

/// The candidate that `word` is most likely a misspelling of.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(mistakes, candidate)| 3 * mistakes <= candidate.len().max(word.len()))
        .min_by_key(|(mistakes, _)| *mistakes)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(rename = "migrations")]
        _migrations: String,
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_a_guess() {
        let error = parse::<Sample>("# comment\nmigratons = 'x'\n").unwrap_err();
        assert_eq!(error.line, Some(2));
        assert_eq!(
            error.message,
            "unknown key `migratons`; did you mean `migrations`?"
        );
    }

    #[test]
    fn a_strange_key_lists_what_is_known() {
        let error = parse::<Sample>("colour = 'x'\n").unwrap_err();
        assert_eq!(error.message, "unknown key `colour`; known are migrations");
    }
}
