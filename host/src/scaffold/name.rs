//! Names of new migrations.

use heck::ToUpperCamelCase;

use crate::revision::RevisionId;

/// How many hexadecimal digits the id of a new revision has.
pub const ID_LEN: usize = 12;

/// A random id, which no other revision has.
#[expect(
    clippy::expect_used,
    reason = "hexadecimal digits are always a valid id"
)]
pub fn new_id() -> RevisionId {
    let number = rand::random::<u64>() >> (64 - 4 * ID_LEN);
    RevisionId::new(&format!("{number:0ID_LEN$x}")).expect("a valid id")
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
