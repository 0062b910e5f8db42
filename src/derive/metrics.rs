//! `#[derive(Metrics)]`.

use crate::attributes;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, Expr, ExprArray, Field, LitStr, Result, Token};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let fields = attributes::named_fields(input).ok_or_else(|| no_struct(input))?;
    let namespace = attributes::read_text(&input.attrs, "metrics", "namespace")?;
    let view = namespace.map(|namespace| {
        quote!(let registry = &::stethoscope::Registry::with_namespace(registry, #namespace);)
    });
    let idents = fields.iter().map(|field| &field.ident);
    let values: Vec<TokenStream> = fields.iter().map(register).collect::<Result<_>>()?;
    let name = &input.ident;
    let (impl_generics, type_generics, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics ::stethoscope::Metrics for #name #type_generics #bounds {
            fn register(
                registry: &::stethoscope::Registry,
            ) -> ::core::result::Result<Self, ::stethoscope::RegisterError> {
                #view
                ::core::result::Result::Ok(Self { #(#idents: #values),* })
            }
        }
    })
}

fn no_struct(input: &DeriveInput) -> Error {
    Error::new_spanned(
        &input.ident,
        "expected a struct with named fields, one for each metric",
    )
}

/// The attributes of a field.
#[derive(Default)]
struct Attributes {
    rename: Option<LitStr>,
    help: Option<LitStr>,
    unit: Option<LitStr>,
    labels: Option<ExprArray>,
    options: Option<Expr>,
    max_series: Option<Expr>,
    /// `nested`, with the namespace if one is given.
    nested: Option<Option<LitStr>>,
}

impl Attributes {
    fn read(field: &Field) -> Result<Self> {
        let mut read = Self::default();
        let known = "rename, help, unit, labels, options, max_series or nested";
        attributes::read(&field.attrs, "metric", known, |meta| {
            let Some(item) = meta.path.get_ident() else {
                return Ok(false);
            };
            match &*item.to_string() {
                "rename" => read.rename = Some(attributes::text(meta)?),
                "help" => read.help = Some(attributes::text(meta)?),
                "unit" => read.unit = Some(attributes::text(meta)?),
                "labels" => read.labels = Some(meta.value()?.parse()?),
                "options" => read.options = Some(meta.value()?.parse()?),
                "max_series" => read.max_series = Some(meta.value()?.parse()?),
                "nested" if meta.input.peek(Token![=]) => {
                    read.nested = Some(Some(attributes::text(meta)?));
                }
                "nested" => read.nested = Some(None),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(read)
    }

    /// Returns true if nothing but `nested` is given.
    fn is_only_nested(&self) -> bool {
        self.rename.is_none()
            && self.help.is_none()
            && self.unit.is_none()
            && self.labels.is_none()
            && self.options.is_none()
            && self.max_series.is_none()
    }
}

/// Returns an expression that registers a field.
fn register(field: &Field) -> Result<TokenStream> {
    let attributes = Attributes::read(field)?;
    let field_type = &field.ty;
    if let Some(namespace) = &attributes.nested {
        if !attributes.is_only_nested() {
            let message = "a nested struct has no other attribute: its fields have theirs";
            return Err(Error::new_spanned(field, message));
        }
        let view = match namespace {
            Some(namespace) => {
                quote!(&::stethoscope::Registry::with_namespace(registry, #namespace))
            }
            None => quote!(registry),
        };
        return Ok(quote!(<#field_type as ::stethoscope::Metrics>::register(#view)?));
    }
    let ident = field.ident.as_ref().expect("the field is named");
    let text = |text: String| LitStr::new(&text, ident.span());
    let name = attributes
        .rename
        .unwrap_or_else(|| text(attributes::name(ident)));
    let help = attributes
        .help
        .unwrap_or_else(|| text(attributes::documentation(&field.attrs)));
    let unit = attributes.unit.map(|unit| quote!(.unit(#unit)));
    let labels = attributes.labels.map(|labels| quote!(.labels(#labels)));
    let options = attributes.options.map(|options| quote!(.options(#options)));
    let limit = attributes
        .max_series
        .map(|limit| quote!(.max_series(#limit)));
    Ok(quote! {
        <#field_type as ::stethoscope::registry::MetricField>::register(
            ::stethoscope::Registry::family::<
                <#field_type as ::stethoscope::registry::MetricField>::Cell
            >(registry, #name, #help) #unit #labels #options #limit
        )?
    })
}
