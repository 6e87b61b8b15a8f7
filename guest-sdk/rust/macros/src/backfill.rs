//! `#[whimbrel::backfill]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Item, Result};

use crate::migration::plain_type;

pub(crate) fn expand(arguments: &TokenStream, item: &Item) -> Result<TokenStream> {
    let name = plain_type("backfill", "Backfill", arguments, item)?;
    Ok(quote! {
        #item

        const _: () = {
            fn is_a_backfill<B: ::whimbrel_sdk::Backfill>() {}
            let _ = is_a_backfill::<#name>;
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            use ::whimbrel_sdk::backfill_bindings::exports::whimbrel::migrate::rows;
            use ::whimbrel_sdk::bindings::whimbrel::migrate::types;

            impl rows::Guest for #name {
                fn describe() -> ::core::result::Result<rows::Description, types::Error> {
                    ::whimbrel_sdk::__private::describe::<Self>()
                }

                fn transform(given: types::Batch) -> ::core::result::Result<rows::Outcome, types::Error> {
                    ::whimbrel_sdk::__private::transform::<Self>(given)
                }
            }

            ::whimbrel_sdk::backfill_bindings::export_backfill!(#name with_types_in ::whimbrel_sdk::backfill_bindings);
        };
    })
}
