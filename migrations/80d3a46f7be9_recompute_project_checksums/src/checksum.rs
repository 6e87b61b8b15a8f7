//! Checksums over a list of fields, as lower-case hexadecimal digits.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The fields one after another, each followed by a character that no field contains: else `ab`, `c` and `a`, `bc`
/// would have the same checksum.
fn joined(fields: &[&str]) -> String {
    fields.iter().flat_map(|field| [*field, "\u{1f}"]).collect()
}

/// SHA-256 over the fields.
pub fn sha256(fields: &[&str]) -> String {
    let digest = Sha256::digest(joined(fields));
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// CRC-32 (IEEE 802.3) over the fields, as the application before 2026 computed it.
pub fn crc32(fields: &[&str]) -> String {
    let crc = joined(fields).bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    });
    format!("{:08x}", !crc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        // `printf '123456789\037' | crc32 /dev/stdin`, `… | sha256sum`
        assert_eq!(crc32(&["123456789"]), "8dcc93bc");
        assert_eq!(
            sha256(&["123456789"]),
            "adae0299010770f8587b5d8aedc91cf09387247e710c20c3192bb3fcd5938513"
        );
    }

    #[test]
    fn where_a_field_ends_matters() {
        assert_ne!(sha256(&["ab", "c"]), sha256(&["a", "bc"]));
        assert_ne!(crc32(&["ab", "c"]), crc32(&["a", "bc"]));
    }
}
