//! `#[derive(LabelValue)]`.

use crate::attributes::{self, Case};
use proc_macro2::TokenStream;
use quote::quote;
use std::collections::HashSet;
use syn::{Data, DeriveInput, Error, Fields, LitStr, Result, Variant};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        let message = "expected an enum: only enums are label values by derive";
        return Err(Error::new_spanned(&input.ident, message));
    };
    if data.variants.is_empty() {
        let message = "expected an enum with variants";
        return Err(Error::new_spanned(&input.ident, message));
    }
    let mut case = Case::Snake;
    attributes::read(&input.attrs, "label", "rename_all", |meta| {
        let is_case = meta.path.is_ident("rename_all");
        if is_case {
            case = Case::parse(&attributes::text(meta)?)?;
        }
        Ok(is_case)
    })?;
    let mut texts = Vec::new();
    let mut seen = HashSet::new();
    for variant in &data.variants {
        let text = text(variant, case)?;
        if !seen.insert(text.value()) {
            let message = format!("another variant has the text {:?} already", text.value());
            return Err(Error::new_spanned(variant, message));
        }
        texts.push(text);
    }
    let (name, variants) = (&input.ident, data.variants.iter().map(|v| &v.ident));
    let by_variant: Vec<_> = variants.map(|variant| quote!(Self::#variant)).collect();
    let (count, indices) = (texts.len(), 0..texts.len());
    let (impl_generics, type_generics, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics ::stethoscope::LabelValue for #name #type_generics #bounds {
            const COUNT: ::core::option::Option<usize> = ::core::option::Option::Some(#count);

            #[inline]
            fn read<R>(&self, read: impl ::core::ops::FnOnce(&str) -> R) -> R {
                read(match self { #(#by_variant => #texts,)* })
            }

            #[inline]
            fn index(&self) -> usize {
                match self { #(#by_variant => #indices,)* }
            }
        }
    })
}

/// Returns the text of a variant.
fn text(variant: &Variant, case: Case) -> Result<LitStr> {
    if !matches!(variant.fields, Fields::Unit) {
        let message = "expected a variant without fields: a label value is one of a fixed list";
        return Err(Error::new_spanned(variant, message));
    }
    let renamed = attributes::read_text(&variant.attrs, "label", "rename")?;
    Ok(renamed.unwrap_or_else(|| {
        let text = case.write(&attributes::name(&variant.ident));
        LitStr::new(&text, variant.ident.span())
    }))
}
