//! `#[derive(Trace)]` for [`leak-detect`](https://docs.rs/leak-detect): use it through that crate,
//! which re-exports it and documents its attributes.

mod attributes;
mod expand;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `leak_detect::Trace` by tracing every field in turn.
///
/// Structs, enums and generics are supported, unions are not. Attributes:
/// - `#[trace(skip)]` on a field: not traced, its type need not be `Trace`. An `Arc` in it then
///   counts as an outside owner, so skipping can hide a leak but never make one up.
/// - `#[trace(unlink)]` on the type: it implements `Unlink`, and `break_cycles` may call it.
///
/// Each type parameter that a traced field mentions is bound by `Trace + 'static`.
#[proc_macro_derive(Trace, attributes(trace))]
pub fn derive_trace(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::trace(&input)
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
