//! The derive macros of stethoscope: use them through its feature `derive`.

mod attributes;
mod label_value;
mod labels;
mod metrics;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `stethoscope::LabelValue` for an enum without fields.
///
/// The text of a variant is its name in snake case. `#[label(rename_all = "...")]` on the
/// enum takes another case: `lowercase`, `UPPERCASE`, `PascalCase`, `snake_case`,
/// `SCREAMING_SNAKE_CASE` or `kebab-case`. `#[label(rename = "...")]` on a variant sets its
/// text.
#[proc_macro_derive(LabelValue, attributes(label))]
pub fn derive_label_value(input: TokenStream) -> TokenStream {
    expand(label_value::derive(&parse_macro_input!(
        input as DeriveInput
    )))
}

/// Derives `stethoscope::Labels` for a struct with a field for each label.
///
/// The name of a label is that of the field, or that of `#[label(rename = "...")]`. The
/// types of the fields are label values. The struct may have one lifetime.
///
/// ```text
/// #[derive(Labels)]
/// struct RequestLabels<'a> {
///     method: Method,
///     path: &'a str,
///     #[label(rename = "code")]
///     status: u16,
/// }
/// ```
#[proc_macro_derive(Labels, attributes(label))]
pub fn derive_labels(input: TokenStream) -> TokenStream {
    expand(labels::derive(&parse_macro_input!(input as DeriveInput)))
}

/// Derives `stethoscope::Metrics` for a struct of handles and families.
///
/// `#[metrics(namespace = "...")]` on the struct precedes all names. Attributes of a field,
/// `#[metric(...)]`, all optional:
///
/// | attribute | sets |
/// |---|---|
/// | `rename = "..."` | the name, instead of the field's |
/// | `help = "..."` | the help text, instead of the field's documentation |
/// | `unit = "..."` | the unit |
/// | `labels = ["...", ...]` | the labels of a family |
/// | `options = EXPRESSION` | the options of the cells: buckets, quantiles |
/// | `max_series = EXPRESSION` | the limit of series |
/// | `nested` | the field is a struct of metrics |
/// | `nested = "..."` | the same, with a namespace |
#[proc_macro_derive(Metrics, attributes(metric, metrics))]
pub fn derive_metrics(input: TokenStream) -> TokenStream {
    expand(metrics::derive(&parse_macro_input!(input as DeriveInput)))
}

fn expand(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(syn::Error::into_compile_error).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn error(result: syn::Result<proc_macro2::TokenStream>) -> String {
        result.expect_err("it is refused").to_string()
    }

    #[test]
    fn label_value_is_refused_for_what_is_no_list_of_values() {
        let refused = |input: DeriveInput| error(label_value::derive(&input));
        assert_eq!(
            refused(parse_quote!(
                struct A {
                    b: u8,
                }
            )),
            "expected an enum: only enums are label values by derive"
        );
        assert_eq!(
            refused(parse_quote!(
                enum A {}
            )),
            "expected an enum with variants"
        );
        assert_eq!(
            refused(parse_quote!(
                enum A {
                    B(u8),
                }
            )),
            "expected a variant without fields: a label value is one of a fixed list"
        );
        assert_eq!(
            refused(parse_quote!(
                enum A {
                    Ab,
                    #[label(rename = "ab")]
                    C,
                }
            )),
            "another variant has the text \"ab\" already"
        );
        assert!(
            refused(parse_quote!(
                #[label(rename_all = "X")]
                enum A {
                    B,
                }
            ))
            .contains("unknown case")
        );
        assert_eq!(
            refused(parse_quote!(
                enum A {
                    #[label(text = "b")]
                    B,
                }
            )),
            "unknown attribute: expected rename"
        );
    }

    #[test]
    fn labels_are_refused_with_names_that_a_page_cannot_have() {
        let refused = |input: DeriveInput| error(labels::derive(&input));
        for input in [
            parse_quote!(
                struct A {
                    größe: u8,
                }
            ),
            parse_quote!(
                struct A {
                    __b: u8,
                }
            ),
            parse_quote!(
                struct A {
                    #[label(rename = "9")]
                    b: u8,
                }
            ),
            parse_quote!(
                struct A {
                    #[label(rename = "")]
                    b: u8,
                }
            ),
        ] {
            assert!(refused(input).starts_with("invalid label name"));
        }
        assert_eq!(
            refused(parse_quote!(
                struct A {
                    b: u8,
                    #[label(rename = "b")]
                    c: u8,
                }
            )),
            "another label has the name \"b\" already"
        );
        for input in [
            parse_quote!(
                enum A {
                    B,
                }
            ),
            parse_quote!(
                struct A(u8);
            ),
        ] {
            let expected = "expected a struct with named fields, one for each label";
            assert_eq!(refused(input), expected);
        }
        for input in [
            parse_quote!(
                struct A<T> {
                    b: T,
                }
            ),
            parse_quote!(
                struct A<'a, 'b> {
                    b: &'a str,
                    c: &'b str,
                }
            ),
        ] {
            let expected = "expected at most one lifetime, and no types or constants";
            assert_eq!(refused(input), expected);
        }
    }

    #[test]
    fn metrics_are_refused_with_attributes_that_do_not_belong_together() {
        let refused = |input: DeriveInput| error(metrics::derive(&input));
        assert_eq!(
            refused(parse_quote!(
                struct A {
                    #[metric(nested, help = "x")]
                    b: B,
                }
            )),
            "a nested struct has no other attribute: its fields have theirs"
        );
        assert_eq!(
            refused(parse_quote!(
                struct A {
                    #[metric(buckets = 1)]
                    b: B,
                }
            )),
            "unknown attribute: expected rename, help, unit, labels, options, max_series or nested"
        );
        assert_eq!(
            refused(parse_quote!(
                enum A {
                    B,
                }
            )),
            "expected a struct with named fields, one for each metric"
        );
    }
}
