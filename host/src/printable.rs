//! Texts of others, made safe to show: what a terminal would take for commands does not reach it, nor a record that is shown
//! later.

/// The longest line that is shown whole, in characters.
pub(crate) const MAX_LINE: usize = 2_000;

/// One printable line of at most 2,000 characters: tabs and line breaks become blanks, and the rest is as in [`lines`].
#[must_use]
pub fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(MAX_LINE));
    for (count, c) in text.chars().enumerate() {
        if count == MAX_LINE {
            clean.push('…');
            break;
        }
        match c {
            '\t' | '\n' | '\r' => clean.push(' '),
            c if is_hazard(c) => {}
            c => clean.push(c),
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// The same text without what controls a terminal and without marks that reorder what is shown. Line breaks stay; tabs
/// become blanks.
#[must_use]
pub fn lines(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' => Some('\n'),
            '\t' => Some(' '),
            c if is_hazard(c) => None,
            c => Some(c),
        })
        .collect()
}

/// The same text, with a sign for each character that is not shown: places in it are what they were.
#[must_use]
pub fn in_place(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' | '\r' => c,
            c if is_hazard(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

fn is_hazard(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    ) || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let text = "\u{1b}]0;owned\u{7}a\u{9b}31mb\u{202e}c\u{2066}\u{200f}\u{61c}d\r\n\te\u{7f}";
        assert_eq!(lines(text), "]0;owneda31mbcd\n e");
        assert_eq!(line(text), "]0;owneda31mbcd   e");
        assert_eq!(in_place(text).chars().count(), text.chars().count());
        assert!(!in_place(text).contains(['\u{1b}', '\u{9b}', '\u{202e}']));
    }

    #[test]
    fn what_is_only_unusual_stays() {
        for text in ["naïve – “quoted” 漢字 👩\u{200d}👩", "a\nb"] {
            assert_eq!(lines(text), text);
            assert_eq!(in_place(text), text);
        }
    }
}
