//! The host's side of the world `backfill`, generated from `wit/`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "backfill",
    exports: { default: async },
    with: {
        "whimbrel:migrate/types": crate::wasm::bindings::whimbrel::migrate::types,
        "whimbrel:migrate/context": crate::wasm::bindings::whimbrel::migrate::context,
        "whimbrel:migrate/log": crate::wasm::bindings::whimbrel::migrate::log,
    },
});
