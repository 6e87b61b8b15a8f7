//! `#[whimbrel::migration]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Ident, Item, Result};

/// The type that an attribute stands on, which is a plain one.
pub(crate) fn plain_type<'a>(
    attribute: &str,
    implements: &str,
    arguments: &TokenStream,
    item: &'a Item,
) -> Result<&'a Ident> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(
            arguments,
            format!("`#[whimbrel::{attribute}]` takes no arguments"),
        ));
    }
    let (name, generics) = match item {
        Item::Struct(item) => (&item.ident, &item.generics),
        Item::Enum(item) => (&item.ident, &item.generics),
        other => {
            return Err(Error::new_spanned(
                other,
                format!(
                    "`#[whimbrel::{attribute}]` stands on the struct that implements `{implements}`"
                ),
            ));
        }
    };
    match generics.params.is_empty() {
        true => Ok(name),
        false => Err(Error::new_spanned(
            generics,
            format!("a {attribute} has no generic parameters"),
        )),
    }
}

pub(crate) fn expand(arguments: &TokenStream, item: &Item) -> Result<TokenStream> {
    let name = plain_type("migration", "Migration", arguments, item)?;
    Ok(quote! {
        #item

        const _: () = {
            fn is_a_migration<M: ::whimbrel_sdk::Migration>() {}
            let _ = is_a_migration::<#name>;
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            impl ::whimbrel_sdk::bindings::Guest for #name {
                fn upgrade() -> ::core::result::Result<(), ::whimbrel_sdk::bindings::whimbrel::migrate::types::Error> {
                    ::whimbrel_sdk::__private::upgrade::<Self>()
                }

                fn downgrade() -> ::core::result::Result<(), ::whimbrel_sdk::bindings::whimbrel::migrate::types::Error> {
                    ::whimbrel_sdk::__private::downgrade::<Self>()
                }
            }

            ::whimbrel_sdk::bindings::export!(#name with_types_in ::whimbrel_sdk::bindings);
        };
    })
}

#[cfg(test)]
mod tests {
    use quote::quote;
    use syn::parse_quote;

    use super::*;

    fn refusal(arguments: TokenStream, item: &Item) -> String {
        expand(&arguments, item).map_or_else(|error| error.to_string(), |tokens| tokens.to_string())
    }

    #[test]
    fn it_stands_on_a_struct_without_parameters_or_arguments() {
        let plain: Item = parse_quote!(
            struct SplitNames;
        );
        assert!(expand(&quote!(), &plain).is_ok());
        assert_eq!(
            refusal(quote!(name = "x"), &plain),
            "`#[whimbrel::migration]` takes no arguments"
        );
        assert_eq!(
            refusal(
                quote!(),
                &parse_quote!(
                    struct Generic<T>(T);
                )
            ),
            "a migration has no generic parameters"
        );
        assert_eq!(
            refusal(
                quote!(),
                &parse_quote!(
                    fn upgrade() {}
                )
            ),
            "`#[whimbrel::migration]` stands on the struct that implements `Migration`"
        );
    }
}
