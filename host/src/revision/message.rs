//! The one line that says what a revision does.

/// What to say of a message that tells nobody what a migration does; `None` of one that does.
pub fn advice(message: &str) -> Option<String> {
    const EMPTY_WORDS: [&str; 14] = [
        "fix",
        "fixes",
        "fixed",
        "bug",
        "update",
        "updates",
        "change",
        "changes",
        "wip",
        "test",
        "tmp",
        "stuff",
        "misc",
        "migration",
    ];
    let says_something = message
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .any(|word| !EMPTY_WORDS.contains(&word.to_lowercase().as_str()));
    (!says_something).then(|| {
        format!("`{message}` does not say what changes; say for example \"add status to projects\"")
    })
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn a_message_says_what_changes() {
        for bad in ["", "fix", "Update", "wip: stuff", "migration, misc"] {
            assert!(advice(bad).is_some(), "{bad}");
        }
        for good in ["add status to projects", "fix rounding of totals", "v2"] {
            assert_eq!(advice(good), None, "{good}");
        }
    }
}
