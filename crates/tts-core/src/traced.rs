//! Ownership, for the leak detector.

/// Implements `leak_detect::Trace` for a type by tracing the named fields. The others own no `Arc`, or
/// cannot be traced: tensors, threads, channels, thread pools and closures.
macro_rules! trace_fields {
    ($type:ty: $($field:tt),*) => {
        #[cfg(feature = "leak-detect")]
        impl ::leak_detect::Trace for $type {
            fn trace<'a>(&'a self, _tracer: &mut ::leak_detect::Tracer<'a>) {
                $(_tracer.field(stringify!($field), &self.$field);)*
            }
        }
    };
}

pub(crate) use trace_fields;
