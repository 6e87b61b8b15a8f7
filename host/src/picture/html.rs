//! The graph as one page: the SVG, and a search box over it.

use super::{Picture, svg};
use crate::digest::Digest;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("search.js");

pub(super) fn render(picture: &Picture<'_>) -> String {
    let title = "Revisions";
    let policy = policy();
    let drawing = svg::render(picture, "");
    let style = svg::STYLE;
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{style}{STYLE}</style>\n</head>\n<body>\n\
         <header><input type=\"search\" placeholder=\"id, label, message or path\" aria-label=\"search\" autofocus>\
         <output></output></header>\n<main>\n{drawing}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// What the page may do: nothing but run the one script and look as it looks.
fn policy() -> String {
    let digest = base64(Digest::of(SCRIPT.as_bytes()).as_bytes());
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, index| {
            number << 8 | usize::from(chunk.get(index).copied().unwrap_or(0))
        });
        for index in 0..4 {
            if index <= chunk.len() {
                text.push(char::from(DIGITS[number >> (18 - 6 * index) & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_padded() {
        let encoded = ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes()));
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }
}
