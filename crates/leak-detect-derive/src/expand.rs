//! The generated code.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Error, Fields, GenericParam, Generics, Result, Token, Type, TypeParamBound,
};

use crate::attributes;

/// Generates `impl Trace` for the type.
pub(crate) fn trace(input: &DeriveInput) -> Result<TokenStream> {
    let mut traced = Vec::new();
    let body = match &input.data {
        Data::Struct(data) => {
            let arm = arm(&quote!(Self), None, &data.fields, &mut traced)?;
            quote!(match self { #arm })
        }
        Data::Enum(data) if data.variants.is_empty() => quote!(match *self {}),
        Data::Enum(data) => {
            let mut arms = TokenStream::new();
            for variant in &data.variants {
                attributes::reject(&variant.attrs)?;
                let name = &variant.ident;
                arms.extend(arm(
                    &quote!(Self::#name),
                    Some(&name.unraw().to_string()),
                    &variant.fields,
                    &mut traced,
                )?);
            }
            quote!(match self { #arms })
        }
        Data::Union(data) => {
            return Err(Error::new(
                data.union_token.span,
                "unions are not supported, since the active field is unknown; implement `Trace` manually",
            ));
        }
    };
    let as_unlink = attributes::unlink(&input.attrs)?.map(|attribute| {
        // A missing implementation of `Unlink` is reported at the attribute.
        quote_spanned! {located_at(attribute)=>
            fn as_unlink(&self) -> ::core::option::Option<&dyn ::leak_detect::Unlink> {
                ::core::option::Option::Some(self)
            }
        }
    });

    let name = &input.ident;
    let generics = bounded(input.generics.clone(), &traced);
    let (parameters, arguments, bounds) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #parameters ::leak_detect::Trace for #name #arguments #bounds {
            #[allow(unused_variables)]
            fn trace<'__tracing>(
                &'__tracing self,
                __tracer: &mut ::leak_detect::Tracer<'__tracing>,
            ) {
                #body
            }
            #as_unlink
        }
    })
}

/// Generates one arm of the match, which passes each traced field to the tracer under its name. Adds the
/// types of the traced fields to `traced`.
fn arm<'f>(
    constructor: &TokenStream,
    variant: Option<&str>,
    fields: &'f Fields,
    traced: &mut Vec<&'f Type>,
) -> Result<TokenStream> {
    let mut bindings = TokenStream::new();
    let mut calls = TokenStream::new();
    for (index, field) in fields.iter().enumerate() {
        if attributes::is_skipped(&field.attrs)? {
            continue;
        }
        traced.push(&field.ty);
        let member = match &field.ident {
            Some(ident) => ident.to_token_stream(),
            None => syn::Index::from(index).to_token_stream(),
        };
        let label = match &field.ident {
            Some(ident) => ident.unraw().to_string(),
            None => index.to_string(),
        };
        let label = match variant {
            Some(variant) => format!("{variant}.{label}"),
            None => label,
        };
        // A type that is not `Trace` is reported at the field.
        let span = located_at(field.ty.span());
        let binding = format_ident!("__field_{}", index, span = span);
        bindings.extend(quote!(#member: #binding,));
        calls.extend(quote_spanned!(span=> __tracer.field(#label, #binding);));
    }
    // Braces with indices also match tuple and unit constructors.
    Ok(quote!(#constructor { #bindings .. } => { #calls }))
}

/// Returns a span that resolves names like the derive and reports errors at `place`.
fn located_at(place: Span) -> Span {
    Span::call_site().located_at(place)
}

/// Adds `Trace + Send + Sync + 'static` to the type parameters of traced fields. Parameters used only in
/// skipped fields need no bound.
fn bounded(mut generics: Generics, traced: &[&Type]) -> Generics {
    let mut mentioned = HashSet::new();
    for ty in traced.iter().filter(|ty| !is_phantom(ty)) {
        mention(ty.to_token_stream(), &mut mentioned);
    }
    for parameter in &mut generics.params {
        let GenericParam::Type(parameter) = parameter else {
            continue;
        };
        if mentioned.contains(&parameter.ident) {
            let bounds: Punctuated<TypeParamBound, Token![+]> = syn::parse_quote!(
                ::leak_detect::Trace + ::core::marker::Send + ::core::marker::Sync + 'static
            );
            parameter.bounds.extend(bounds);
        }
    }
    generics
}

/// `PhantomData<T>` is `Trace` for every `T`. A derive can only compare the name.
fn is_phantom(ty: &Type) -> bool {
    let Type::Path(path) = ty else {
        return false;
    };
    let last = path.path.segments.last();
    last.is_some_and(|last| last.ident == "PhantomData")
}

fn mention(tokens: TokenStream, mentioned: &mut HashSet<Ident>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                mentioned.insert(ident);
            }
            TokenTree::Group(group) => mention(group.stream(), mentioned),
            _ => {}
        }
    }
}
