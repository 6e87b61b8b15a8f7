//! guest-sdk/rust/macros
