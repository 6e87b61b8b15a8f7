//! `#[derive(FromRow)]`.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, Result};

pub(crate) fn expand(item: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &item.data else {
        return Err(Error::new_spanned(
            &item.ident,
            "only a struct can be read from a row",
        ));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(
            &item.ident,
            "the fields need names, which are those of the columns; read a tuple to go by position",
        ));
    };
    let fields = fields
        .named
        .iter()
        .map(read_field)
        .collect::<Result<Vec<_>>>()?;
    let name = &item.ident;
    let (impl_generics, type_generics, where_clause) = item.generics.split_for_impl();
    Ok(quote_spanned! {name.span()=>
        impl #impl_generics ::whimbrel_sdk::FromRow for #name #type_generics #where_clause {
            fn from_row(row: &::whimbrel_sdk::Row<'_>) -> ::core::result::Result<Self, ::whimbrel_sdk::Error> {
                ::core::result::Result::Ok(Self { #(#fields),* })
            }
        }
    })
}

fn read_field(field: &Field) -> Result<TokenStream> {
    let Some(name) = &field.ident else {
        return Err(Error::new_spanned(field, "the field needs a name"));
    };
    let mut column = LitStr::new(&name.unraw().to_string(), name.span());
    for attribute in field
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("row"))
    {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("unknown key; there is `rename = \"column\"`"));
            }
            column = meta.value()?.parse()?;
            Ok(())
        })?;
    }
    let ty = &field.ty;
    Ok(quote_spanned! {ty.span()=> #name: row.get::<#ty>(#column)? })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn refusal(item: &DeriveInput) -> String {
        expand(item).map_or_else(|error| error.to_string(), |tokens| tokens.to_string())
    }

    #[test]
    fn fields_are_read_by_their_names_or_the_given_ones() {
        let expanded = refusal(&parse_quote! {
            struct User { id: i64, #[row(rename = "full_name")] name: String, r#type: String }
        });
        assert!(
            expanded.contains(r#"id : row . get :: < i64 > ("id") ?"#),
            "{expanded}"
        );
        assert!(
            expanded.contains(r#"name : row . get :: < String > ("full_name") ?"#),
            "{expanded}"
        );
        assert!(
            expanded.contains(r#"row . get :: < String > ("type") ?"#),
            "{expanded}"
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_words() {
        assert_eq!(
            refusal(&parse_quote!(
                enum Status {
                    Active,
                }
            )),
            "only a struct can be read from a row"
        );
        assert_eq!(
            refusal(&parse_quote!(
                struct Pair(i64, i64);
            )),
            "the fields need names, which are those of the columns; read a tuple to go by position"
        );
        assert_eq!(
            refusal(&parse_quote!(
                struct User {
                    #[row(name = "x")]
                    id: i64,
                }
            )),
            "unknown key; there is `rename = \"column\"`"
        );
    }
}
