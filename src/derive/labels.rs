//! `#[derive(Labels)]`.

use crate::attributes;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use std::collections::HashSet;
use syn::{DeriveInput, Error, Field, GenericParam, Lifetime, LitStr, Result};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let fields = attributes::named_fields(input).ok_or_else(|| no_struct(input))?;
    let mut names: Vec<LitStr> = Vec::new();
    let mut seen = HashSet::new();
    for field in fields {
        let name = label_name(field)?;
        if !seen.insert(name.value()) {
            let message = format!("another label has the name {:?} already", name.value());
            return Err(Error::new(name.span(), message));
        }
        names.push(name);
    }
    let idents: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let texts: Vec<_> = (0..names.len())
        .map(|i| format_ident!("text_{i}"))
        .collect();
    let pairs = idents.iter().zip(&texts).rev();
    let read = pairs.fold(quote!(read(&[#(#texts),*])), |inner, (ident, text)| {
        quote!(::stethoscope::LabelValue::read(&self.#ident, |#text| #inner))
    });

    let name = &input.ident;
    let mut of = quote!(Self);
    let mut parameters = input.generics.params.iter();
    match (parameters.next(), parameters.next()) {
        (None, _) => {}
        (Some(GenericParam::Lifetime(_)), None) => {
            let lifetime = Lifetime::new("'stethoscope", name.span());
            of = quote!(#name<#lifetime>);
        }
        (Some(first), _) => {
            let message = "expected at most one lifetime, and no types or constants";
            return Err(Error::new_spanned(first, message));
        }
    }
    let (impl_generics, type_generics, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics ::stethoscope::Labels for #name #type_generics #bounds {
            type Of<'stethoscope> = #of;

            const NAMES: &'static [&'static str] = &[#(#names),*];

            const COUNT: ::core::option::Option<usize> =
                ::stethoscope::family::typed::count_label_sets(
                    &[#(<#types as ::stethoscope::LabelValue>::COUNT),*]
                );

            #[inline]
            fn read<R>(&self, read: impl ::core::ops::FnOnce(&[&str]) -> R) -> R {
                #read
            }

            #[inline]
            fn index(&self) -> usize {
                let index = 0;
                #(
                    let index = match <#types as ::stethoscope::LabelValue>::COUNT {
                        ::core::option::Option::Some(count) => {
                            usize::wrapping_mul(index, count)
                                + ::stethoscope::LabelValue::index(&self.#idents)
                        }
                        ::core::option::Option::None => 0,
                    };
                )*
                index
            }
        }
    })
}

fn no_struct(input: &DeriveInput) -> Error {
    Error::new_spanned(
        &input.ident,
        "expected a struct with named fields, one for each label",
    )
}

/// Returns the name of a field's label.
fn label_name(field: &Field) -> Result<LitStr> {
    let renamed = attributes::read_text(&field.attrs, "label", "rename")?;
    let ident = field.ident.as_ref().expect("the field is named");
    let name = renamed.unwrap_or_else(|| LitStr::new(&attributes::name(ident), ident.span()));
    attributes::check_label_name(&name)?;
    Ok(name)
}
