//! Names of new migrations.

use heck::ToUpperCamelCase;

use crate::revision::RevisionId;

/// How many hexadecimal digits the id of a new revision has.
pub const ID_LEN: usize = 12;

const MAX_SLUG_LEN: usize = 40;

/// A random id, which no other revision has.
#[expect(
    clippy::expect_used,
    reason = "hexadecimal digits are always a valid id"
)]
pub fn new_id() -> RevisionId {
    let number = rand::random::<u64>() >> (64 - 4 * ID_LEN);
    RevisionId::new(&format!("{number:0ID_LEN$x}")).expect("a valid id")
}

/// A message as a part of a file name: lower-case words with `_` between them, cut at a word where that is possible.
pub(super) fn slug(message: &str) -> String {
    let mut slug = String::new();
    for word in message
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let gap = usize::from(!slug.is_empty());
        if slug.len() + gap + word.len() > MAX_SLUG_LEN {
            if slug.is_empty() {
                slug.push_str(&word[..MAX_SLUG_LEN].to_ascii_lowercase());
            }
            break;
        }
        if gap > 0 {
            slug.push('_');
        }
        slug.push_str(&word.to_ascii_lowercase());
    }
    slug
}

/// The name of a Rust package for a slug. A single word could be a keyword or the name of a crate.
pub(super) fn package(slug: &str) -> String {
    let words = slug.replace('_', "-");
    if words.contains('-') && words.starts_with(|c: char| c.is_ascii_alphabetic()) {
        words
    } else {
        format!("migration-{words}")
            .trim_end_matches('-')
            .to_owned()
    }
}

/// The name of a Rust type for a package.
pub(super) fn type_name(package: &str) -> String {
    package.to_upper_camel_case()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_words_cut_at_a_word() {
        assert_eq!(slug("Add status to projects!"), "add_status_to_projects");
        assert_eq!(slug("  Größe: -- 3 "), "gr_e_3");
        assert_eq!(slug(""), "");
        assert_eq!(
            slug("move every address of every person into a table of its own"),
            "move_every_address_of_every_person_into"
        );
        assert_eq!(slug(&"x".repeat(50)), "x".repeat(40));
    }

    #[test]
    fn packages_are_no_keywords_and_start_with_a_letter() {
        assert_eq!(package("split_names"), "split-names");
        assert_eq!(package("self"), "migration-self");
        assert_eq!(package("2nd_try"), "migration-2nd-try");
        assert_eq!(package(""), "migration");
        assert_eq!(type_name("migration-2nd-try"), "Migration2ndTry");
    }

    #[test]
    fn ids_are_twelve_digits_and_differ() {
        let (one, other) = (new_id(), new_id());
        assert_eq!(one.as_str().len(), ID_LEN);
        assert!(one.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }
}
