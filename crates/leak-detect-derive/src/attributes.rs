//! The `#[trace(…)]` attributes.

use syn::{Attribute, Result};

/// Whether a field is marked `#[trace(skip)]`.
pub(crate) fn is_skipped(attributes: &[Attribute]) -> Result<bool> {
    has_word(
        attributes,
        "skip",
        "the only attribute of a field is `#[trace(skip)]`",
    )
}

/// Whether the type is marked `#[trace(unlink)]`.
pub(crate) fn is_unlink(attributes: &[Attribute]) -> Result<bool> {
    has_word(
        attributes,
        "unlink",
        "the only attribute of a type is `#[trace(unlink)]`",
    )
}

/// Rejects `#[trace(…)]` on an enum's variant, which would otherwise be ignored.
pub(crate) fn reject(attributes: &[Attribute]) -> Result<()> {
    has_word(
        attributes,
        "",
        "`#[trace(…)]` is not allowed on a variant; use it on a field or on the type",
    )
    .map(drop)
}

fn has_word(attributes: &[Attribute], word: &str, allowed: &str) -> Result<bool> {
    let mut found = false;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("trace")) {
        attribute.parse_nested_meta(|meta| {
            let known = meta.path.get_ident().is_some_and(|ident| ident == word);
            if !known || meta.input.peek(syn::Token![=]) || meta.input.peek(syn::token::Paren) {
                return Err(meta.error(allowed));
            }
            found = true;
            Ok(())
        })?;
    }
    Ok(found)
}
