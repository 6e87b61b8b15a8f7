//! The macros of `whimbrel-sdk`; use them from there.

mod backfill;
mod from_row;
mod migration;
mod to_row;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes the component's exports of a struct that implements `Migration`.
///
/// ```text
/// #[whimbrel::migration]
/// struct SplitNames;
/// ```
#[proc_macro_attribute]
pub fn migration(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::Item);
    migration::expand(&arguments.into(), &item)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes the component's exports of a struct that implements `Backfill`.
///
/// ```text
/// #[whimbrel::backfill]
/// struct EmailKeys;
/// ```
#[proc_macro_attribute]
pub fn backfill(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::Item);
    backfill::expand(&arguments.into(), &item)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Reads a struct from a row, each field from the column of its name, or of the name given by
/// `#[row(rename = "…")]`.
#[proc_macro_derive(FromRow, attributes(row))]
pub fn from_row(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::DeriveInput);
    from_row::expand(&item)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Sends a struct as a row, its fields in their order.
#[proc_macro_derive(ToRow, attributes(row))]
pub fn to_row(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::DeriveInput);
    to_row::expand(&item)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Both ways: `FromRow`, each field from the column of its name, and `ToRow`, the fields in their order.
#[proc_macro_derive(Row, attributes(row))]
pub fn row(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::DeriveInput);
    from_row::expand(&item)
        .and_then(|mut both| {
            both.extend(to_row::expand(&item)?);
            Ok(both)
        })
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
