//! The `#[trace(…)]` attributes.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Attribute, Result};

/// Whether a field is marked `#[trace(skip)]`.
pub(crate) fn is_skipped(attributes: &[Attribute]) -> Result<bool> {
    let skip = word(
        attributes,
        "skip",
        "the only attribute of a field is `#[trace(skip)]`",
    )?;
    Ok(skip.is_some())
}

/// Returns the place of `#[trace(unlink)]` on the type.
pub(crate) fn unlink(attributes: &[Attribute]) -> Result<Option<Span>> {
    word(
        attributes,
        "unlink",
        "the only attribute of a type is `#[trace(unlink)]`",
    )
}

/// Rejects `#[trace(…)]` on an enum's variant, which would otherwise be ignored.
pub(crate) fn reject(attributes: &[Attribute]) -> Result<()> {
    word(
        attributes,
        "",
        "`#[trace(…)]` is not allowed on a variant; use it on a field or on the type",
    )
    .map(drop)
}

fn word(attributes: &[Attribute], word: &str, allowed: &str) -> Result<Option<Span>> {
    let mut found = None;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("trace")) {
        attribute.parse_nested_meta(|meta| {
            let known = meta.path.get_ident().is_some_and(|ident| ident == word);
            if !known || meta.input.peek(syn::Token![=]) || meta.input.peek(syn::token::Paren) {
                return Err(meta.error(allowed));
            }
            found = Some(meta.path.span());
            Ok(())
        })?;
    }
    Ok(found)
}
