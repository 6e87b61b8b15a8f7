//! What `wit-bindgen` makes of the world `backfill`; its types are those of [`crate::bindings`].

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated from wit/, whose own doc comments describe it"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "backfill",
    additional_derives: [PartialEq],
    pub_export_macro: true,
    export_macro_name: "export_backfill",
    default_bindings_module: "whimbrel_sdk::backfill_bindings",
    with: {
        "whimbrel:migrate/types@0.1.0": crate::bindings::whimbrel::migrate::types,
        "whimbrel:migrate/context@0.1.0": crate::bindings::whimbrel::migrate::context,
        "whimbrel:migrate/log@0.1.0": crate::bindings::whimbrel::migrate::log,
    },
});
