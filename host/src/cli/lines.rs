//! Lines of text for terminals: cut at spaces, and where it has to be, anywhere.

use unicode_width::UnicodeWidthChar;

/// How wide a line may be: what terminals have at least.
pub(super) const WIDTH: usize = 80;

/// How many columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

fn columns_of(letter: char) -> usize {
    letter.width().unwrap_or(0)
}

/// What may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// What does not stand between backticks.
    Unquoted,
    /// Everything.
    Quoted,
}

/// Cuts a line at spaces; what follows the first is indented. What stands between backticks, and a word that is too long,
/// stays whole.
pub(super) fn wrap(text: &str, indent: &str) -> Vec<String> {
    wrap_at(text, indent, WIDTH, Cut::Unquoted)
}

/// The same for text that anything may stand in: no line is wider than that, and none moves the cursor.
pub(super) fn fit(text: &str, indent: &str, width: usize) -> Vec<String> {
    let text = plain(text);
    let mut lines = Vec::new();
    for line in wrap_at(&text, indent, width, Cut::Unquoted) {
        if columns(&line) <= width {
            lines.push(line);
            continue;
        }
        for line in wrap_at(&line, indent, width, Cut::Quoted) {
            cut(&line, indent, width, &mut lines);
        }
    }
    lines
}

/// The beginning of a text, which says that it is one.
pub(super) fn shorten(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut taken = 0;
    let mut short: String = text
        .chars()
        .take_while(|letter| {
            taken += columns_of(*letter);
            taken < width
        })
        .collect();
    short.push('…');
    short
}

/// One line that holds nothing that a terminal would act on.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

fn wrap_at(text: &str, indent: &str, width: usize, what: Cut) -> Vec<String> {
    let start = text.len() - text.trim_start().len();
    let mut lines = Vec::new();
    let mut line = text[..start].to_owned();
    let mut is_empty = true;
    let mut quoted = false;
    let is_gap = |letter: char| {
        quoted ^= letter == '`' && what == Cut::Unquoted;
        letter == ' ' && !quoted
    };
    for word in text[start..].split(is_gap) {
        if !is_empty && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// Cuts a line wherever it is full.
fn cut(line: &str, indent: &str, width: usize, lines: &mut Vec<String>) {
    let indent = if columns(indent) * 2 <= width {
        indent
    } else {
        ""
    };
    let mut piece = String::new();
    let mut taken = 0;
    for letter in line.chars() {
        if taken + columns_of(letter) > width {
            lines.push(std::mem::replace(&mut piece, indent.to_owned()));
            taken = columns(indent);
        }
        taken += columns_of(letter);
        piece.push(letter);
    }
    lines.push(piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_spaces_and_quotes_stay_whole() {
        let text = format!(
            "{} `a command of several words` end",
            "word ".repeat(14).trim()
        );
        let lines = wrap(&text, "  ");
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[1], "  `a command of several words` end");
    }

    #[test]
    fn whatever_stands_in_a_line_it_is_no_wider_than_it_may_be() {
        let texts = [
            "x".repeat(500),
            format!(
                "a `{} {}",
                "y".repeat(90),
                "an end that never comes ".repeat(9)
            ),
            "語".repeat(99),
            "\u{1b}[2J\nred\ttape\r".repeat(30),
            String::new(),
        ];
        for text in &texts {
            for width in [4, 10, 79, 80] {
                let lines = fit(text, "    ", width);
                for line in &lines {
                    assert!(columns(line) <= width, "{width}: {line:?}");
                    assert!(!line.contains(char::is_control), "{line:?}");
                }
                let kept: String = lines.concat().split_whitespace().collect();
                let whole: String = plain(text).split_whitespace().collect();
                assert_eq!(kept, whole, "nothing is lost at {width}");
            }
        }
    }

    #[test]
    fn what_is_shortened_says_so() {
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(shorten("shorter", 5), "shor…");
        assert_eq!(shorten("日本語", 4), "日…");
    }
}
