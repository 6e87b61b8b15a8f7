//! What `wit-bindgen` makes of the WIT package; the only copy of it lies two folders up, here as where
//! `whimbrel build` unpacks the SDK.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated from wit/, whose own doc comments describe it"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "migration",
    additional_derives: [PartialEq],
    pub_export_macro: true,
    default_bindings_module: "whimbrel_sdk::bindings",
});
