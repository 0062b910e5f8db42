//! Attributes, names and cases.

use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Data, DataStruct, DeriveInput, Expr, ExprLit, Field, Fields, Ident, Lit, LitStr,
    Meta, Result, Token,
};

/// Calls `read` with each item of the attributes `#[path(...)]`. It returns false for an
/// item that it does not know.
pub(crate) fn read(
    attributes: &[Attribute],
    path: &str,
    known: &str,
    mut read: impl FnMut(&ParseNestedMeta) -> Result<bool>,
) -> Result<()> {
    for attribute in attributes.iter().filter(|a| a.path().is_ident(path)) {
        attribute.parse_nested_meta(|meta| match read(&meta)? {
            true => Ok(()),
            false => Err(meta.error(format!("unknown attribute: expected {known}"))),
        })?;
    }
    Ok(())
}

/// Reads the only item of the attributes `#[path(...)]`, which is `item = "text"`. The
/// last one counts.
pub(crate) fn read_text(
    attributes: &[Attribute],
    path: &str,
    item: &str,
) -> Result<Option<LitStr>> {
    let mut found = None;
    read(attributes, path, item, |meta| {
        let is_known = meta.path.is_ident(item);
        if is_known {
            found = Some(text(meta)?);
        }
        Ok(is_known)
    })?;
    Ok(found)
}

/// Returns the fields of a struct with named fields.
pub(crate) fn named_fields(input: &DeriveInput) -> Option<&Punctuated<Field, Token![,]>> {
    match &input.data {
        Data::Struct(DataStruct {
            fields: Fields::Named(fields),
            ..
        }) => Some(&fields.named),
        _ => None,
    }
}

/// Reads the text of `item = "text"`.
pub(crate) fn text(meta: &ParseNestedMeta) -> Result<LitStr> {
    meta.value()?.parse()
}

/// Returns the name of a field or a variant without `r#`.
pub(crate) fn name(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// Returns the documentation of an item as one line.
pub(crate) fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let Meta::NameValue(meta) = &attribute.meta else {
            return None;
        };
        match &meta.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) if meta.path.is_ident("doc") => Some(text.value()),
            _ => None,
        }
    });
    let lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
    // The first paragraph.
    let first = lines
        .split(String::is_empty)
        .find(|lines| !lines.is_empty());
    first.unwrap_or_default().join(" ")
}

/// Fails if a label name is not a classic one, or reserved.
pub(crate) fn check_label_name(name: &LitStr) -> Result<()> {
    let text = name.value();
    let is_classic = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        && !text.starts_with("__");
    match is_classic {
        true => Ok(()),
        false => Err(syn::Error::new(
            name.span(),
            format!(
                "invalid label name {text:?}: expected letters, digits and underscores, beginning \
                 with a letter or one underscore: use #[label(rename = \"...\")]"
            ),
        )),
    }
}

/// A way to write the words of a variant's name.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    Lower,
    Upper,
    Pascal,
    Snake,
    ScreamingSnake,
    Kebab,
}

impl Case {
    pub(crate) fn parse(text: &LitStr) -> Result<Self> {
        Ok(match &*text.value() {
            "lowercase" => Self::Lower,
            "UPPERCASE" => Self::Upper,
            "PascalCase" => Self::Pascal,
            "snake_case" => Self::Snake,
            "SCREAMING_SNAKE_CASE" => Self::ScreamingSnake,
            "kebab-case" => Self::Kebab,
            _ => {
                return Err(syn::Error::new(
                    text.span(),
                    "unknown case: expected \"lowercase\", \"UPPERCASE\", \"PascalCase\", \
                     \"snake_case\", \"SCREAMING_SNAKE_CASE\" or \"kebab-case\"",
                ));
            }
        })
    }

    /// Writes a name that is in Pascal case.
    pub(crate) fn write(self, name: &str) -> String {
        let separated = |separator: &str| {
            let mut written = String::new();
            let mut characters = name.chars().peekable();
            let mut before_is_lower = false;
            while let Some(character) = characters.next() {
                // A word begins at a capital after another letter, and at the last of
                // several capitals: `HTTPError` is two words.
                let next_is_lower = characters.peek().is_some_and(|next| next.is_lowercase());
                if character.is_uppercase()
                    && !written.is_empty()
                    && (before_is_lower || next_is_lower)
                {
                    written.push_str(separator);
                }
                before_is_lower = !character.is_uppercase();
                written.extend(character.to_lowercase());
            }
            written
        };
        match self {
            Self::Lower => name.to_lowercase(),
            Self::Upper => name.to_uppercase(),
            Self::Pascal => name.to_owned(),
            Self::Snake => separated("_"),
            Self::ScreamingSnake => separated("_").to_uppercase(),
            Self::Kebab => separated("-"),
        }
    }
}
