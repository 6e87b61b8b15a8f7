//! One digest for all that is applied.

use std::fmt;

use crate::digest::Digest;

/// A digest of revisions and of what each of them ran, which they join and leave in any order.
///
/// The last row of the ledger has that of all that is applied, so that a run with nothing to do need not read the
/// others. It tells of mistakes, as the digests in the ledger do, and not of someone who can write to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally([u64; 4]);

impl Tally {
    /// Takes in a revision that ran code with this digest.
    pub fn join(&mut self, revision: &str, digest: &str) {
        self.combine(revision, digest, u64::wrapping_add);
    }

    /// Undoes [`Tally::join`].
    pub fn leave(&mut self, revision: &str, digest: &str) {
        self.combine(revision, digest, u64::wrapping_sub);
    }

    fn combine(&mut self, revision: &str, digest: &str, with: fn(u64, u64) -> u64) {
        let pair = Digest::of_parts([revision, digest].map(str::as_bytes));
        for (lane, bytes) in self.0.iter_mut().zip(pair.as_bytes().chunks_exact(8)) {
            let other = bytes
                .iter()
                .fold(0, |lane, &byte| (lane << 8) | u64::from(byte));
            *lane = with(*lane, other);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_join_and_leave_in_any_order() {
        let mut one = Tally::default();
        one.join("a", "11");
        one.join("b", "22");
        let mut other = Tally::default();
        other.join("b", "22");
        other.join("x", "33");
        other.join("a", "11");
        assert_ne!(one, other);
        other.leave("x", "33");
        assert_eq!(one, other);
        assert_eq!(one.to_string().len(), 64);
    }

    #[test]
    fn a_revision_with_other_code_makes_another_tally() {
        let of = |revision, digest| {
            let mut tally = Tally::default();
            tally.join(revision, digest);
            tally
        };
        assert_ne!(of("a", "11"), of("a", "12"));
        assert_ne!(of("a", "11"), of("a1", "1"));
    }
}
