//! `#[derive(Trace)]` for [`leak-detect`](https://docs.rs/leak-detect), which re-exports it and documents
//! its attributes.

mod attributes;
mod expand;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `leak_detect::Trace` by tracing every field in turn.
///
/// Supports structs, enums and generics, but not unions. Attributes:
/// - `#[trace(skip)]` on a field excludes it; its type need not be `Trace`. An `Arc` in it counts as an
///   external owner, so skipping can hide a leak but never causes a false report.
/// - `#[trace(unlink)]` on the type declares that it implements `Unlink`, so `break_cycles` may call it.
///
/// Type parameters of traced fields are bound by `Trace + Send + Sync + 'static`.
#[proc_macro_derive(Trace, attributes(trace))]
pub fn derive_trace(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::trace(&input)
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
