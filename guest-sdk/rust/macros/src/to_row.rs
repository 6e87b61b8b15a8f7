//! `#[derive(ToRow)]`.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::{Data, DeriveInput, Error, Fields, Index, Result};

pub(crate) fn expand(item: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &item.data else {
        return Err(Error::new_spanned(
            &item.ident,
            "only a struct can be sent as a row",
        ));
    };
    if data.fields.is_empty() {
        return Err(Error::new_spanned(
            &item.ident,
            "a row needs at least one field",
        ));
    }
    let name = &item.ident;
    let fields =
        data.fields
            .iter()
            .enumerate()
            .map(|(at, field)| match (&data.fields, &field.ident) {
                (Fields::Named(_), Some(field)) => {
                    quote_spanned! {name.span()=> row.push(&self.#field); }
                }
                _ => {
                    let at = Index::from(at);
                    quote_spanned! {name.span()=> row.push(&self.#at); }
                }
            });
    let (impl_generics, type_generics, where_clause) = item.generics.split_for_impl();
    Ok(quote_spanned! {name.span()=>
        impl #impl_generics ::whimbrel_sdk::ToRow for #name #type_generics #where_clause {
            fn write_row(&self, row: &mut ::whimbrel_sdk::RowWriter<'_>) {
                #(#fields)*
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn expanded(item: &DeriveInput) -> String {
        expand(item).map_or_else(|error| error.to_string(), |tokens| tokens.to_string())
    }

    #[test]
    fn fields_are_written_in_their_order() {
        let named = expanded(&parse_quote! { struct User { id: i64, name: String } });
        let id = named.find("& self . id");
        assert!(id.is_some() && id < named.find("& self . name"), "{named}");
        let positions = expanded(&parse_quote! { struct Pair(i64, String); });
        assert!(positions.contains("& self . 1"), "{positions}");
    }

    #[test]
    fn what_is_no_row_is_refused_in_words() {
        assert_eq!(
            expanded(&parse_quote!(
                enum Status {
                    Active,
                }
            )),
            "only a struct can be sent as a row"
        );
        assert_eq!(
            expanded(&parse_quote!(
                struct Nothing;
            )),
            "a row needs at least one field"
        );
    }
}
