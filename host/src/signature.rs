//! Who signed a component: detached signatures as the tool minisign makes them, by keys that an operator names. Pure.
//!
//! ```
//! use whimbrel::signature::{Signature, Signers};
//!
//! let mut signers = Signers::default();
//! signers.add("release", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3")?;
//! let signature = "untrusted comment: signature from minisign secret key\n\
//!     RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
//!     trusted comment: timestamp:1556193335\tfile:test\n\
//!     y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==\n";
//! assert_eq!(signers.judge(signature, b"test"), Signature::By(vec!["release".to_owned()]));
//! assert!(matches!(signers.judge(signature, b"Test"), Signature::Void(_)));
//! # Ok::<(), whimbrel::signature::InvalidSigner>(())
//! ```

use std::collections::BTreeMap;

use minisign_verify::{Error, PublicKey};
use thiserror::Error as ThisError;

/// What stands behind the name of a signed file in the name of its signature.
pub const EXTENSION: &str = "minisig";

/// The most that a signature's file may have; real ones have some hundred bytes.
pub const MAX_BYTES: usize = 64 << 10;

/// Public keys, by the names that an operator gives them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signers(BTreeMap<String, PublicKey>);

/// A name or a key that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum InvalidSigner {
    /// The name.
    #[error(
        "`{}` cannot name a signer: write letters, digits, `_`, `-`, `.` and `@`",
        crate::printable::line(.0)
    )]
    Name(String),
    /// The key. Not repeated, since it may be the secret one.
    #[error(
        "the key of `{0}` is no public key of minisign: write the second line of its `minisign.pub`, which starts with `RW`"
    )]
    Key(String),
}

/// What there is to know of a component's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// There is none.
    Absent,
    /// The names of all keys that it verifies under; never empty.
    By(Vec<String>),
    /// It verifies under no key, for this reason. Such a component counts as not signed.
    Void(VoidSignature),
}

/// Why a signature verifies under no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
pub enum VoidSignature {
    /// The text is no signature.
    #[error("is no signature of minisign; sign the component again: `minisign -Sm`")]
    Malformed,
    /// It names none of the keys.
    #[error("is by a key that is not in [signers]")]
    UnknownKey,
    /// It names a key, and that key did not sign this.
    #[error(
        "does not verify under the key in [signers] that it names; the component, or the signature, was changed since"
    )]
    Mismatch,
}

impl Signature {
    /// The names of the keys that it verifies under.
    pub fn signers(&self) -> &[String] {
        match self {
            Self::By(names) => names,
            Self::Absent | Self::Void(_) => &[],
        }
    }

    /// Why it counts for nothing, where there is one that does.
    pub fn void(&self) -> Option<VoidSignature> {
        match self {
            Self::Void(why) => Some(*why),
            Self::Absent | Self::By(_) => None,
        }
    }
}

impl Signers {
    /// Names a key: the base64 text in the second line of `minisign.pub`. A name that is there already gets the new key.
    ///
    /// # Errors
    /// [`InvalidSigner`].
    pub fn add(&mut self, name: &str, key: &str) -> Result<(), InvalidSigner> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
        if name.is_empty() || !name.chars().all(is_part) {
            return Err(InvalidSigner::Name(name.to_owned()));
        }
        let key = PublicKey::from_base64(key).map_err(|_| InvalidSigner::Key(name.to_owned()))?;
        self.0.insert(name.to_owned(), key);
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Who made the signature in `text` for some content, prehashed or in the form of older versions of minisign.
    pub fn judge(&self, text: &str, content: &[u8]) -> Signature {
        let Ok(signature) = minisign_verify::Signature::decode(text) else {
            return Signature::Void(VoidSignature::Malformed);
        };
        let mut names = Vec::new();
        let mut why = VoidSignature::UnknownKey;
        for (name, key) in &self.0 {
            // The id of a key is no secret and no proof: several keys may bear the same one.
            match key.verify(content, &signature, true) {
                Ok(()) => names.push(name.clone()),
                Err(Error::UnexpectedKeyId) => {}
                Err(_) => why = VoidSignature::Mismatch,
            }
        }
        match names.is_empty() {
            true => Signature::Void(why),
            false => Signature::By(names),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const LEGACY: &str = "untrusted comment: signature from minisign secret key\n\
        RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n\
        trusted comment: timestamp:1555779966\tfile:test\n\
        QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n";

    fn signers(names: &[&str], key: &str) -> Signers {
        let mut signers = Signers::default();
        for name in names {
            signers.add(name, key).unwrap();
        }
        signers
    }

    #[test]
    fn a_signature_of_older_versions_holds_for_all_names_of_its_key() {
        let signers = signers(&["release", "build@2"], KEY);
        let names = ["build@2", "release"].map(str::to_owned);
        assert_eq!(signers.judge(LEGACY, b"test").signers(), names);
        let windows = LEGACY.replace('\n', "\r\n");
        assert_eq!(signers.judge(&windows, b"test").signers(), names);
    }

    #[test]
    fn what_does_not_verify_says_why() {
        let ours = signers(&["release"], KEY);
        let why = |text: &str, content: &[u8]| ours.judge(text, content).void().unwrap();
        assert_eq!(why(LEGACY, b"Test"), VoidSignature::Mismatch);
        let comment = LEGACY.replace("file:test", "file:best");
        assert_eq!(why(&comment, b"test"), VoidSignature::Mismatch);
        for text in [
            "",
            "signed",
            &LEGACY[..200],
            &LEGACY.replace("RWQf", "AAQf"),
        ] {
            assert_eq!(why(text, b"test"), VoidSignature::Malformed, "{text}");
        }
        // Another id in front of the same key.
        let others = signers(&["other"], &KEY.replace("RWQf6", "RWQf7"));
        let void = others.judge(LEGACY, b"test").void();
        assert_eq!(void, Some(VoidSignature::UnknownKey));
        // The same id in front of another key.
        let others = signers(&["other"], &KEY.replace("GFO3", "GFO4"));
        let void = others.judge(LEGACY, b"test").void();
        assert_eq!(void, Some(VoidSignature::Mismatch));
        let void = Signers::default().judge(LEGACY, b"test").void();
        assert_eq!(void, Some(VoidSignature::UnknownKey));
    }

    #[test]
    fn names_and_keys_are_checked() {
        let mut signers = Signers::default();
        for name in ["", "a*", "a b", "a\u{1b}"] {
            let error = signers.add(name, KEY).unwrap_err();
            assert!(matches!(error, InvalidSigner::Name(_)), "{name:?}");
        }
        for key in [
            "",
            "x",
            &KEY[1..],
            &format!("{KEY}\n"),
            &KEY.replace("RW", "AA"),
        ] {
            let error = signers.add("a", key).unwrap_err();
            assert!(matches!(error, InvalidSigner::Key(_)), "{key:?}");
        }
        assert!(signers.is_empty());
    }
}
