//! The host's side of `whimbrel:migrate`, generated from `wit/`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "migration",
    imports: {
        "whimbrel:migrate/context": trappable,
        "whimbrel:migrate/log": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    with: {
        "whimbrel:migrate/sql.cursor": crate::wasm::loan::Cursor,
        "whimbrel:migrate/sql.savepoint": crate::wasm::loan::Savepoint,
    },
    trappable_error_type: {
        "whimbrel:migrate/types.error" => crate::wasm::host::CallError,
    },
});
