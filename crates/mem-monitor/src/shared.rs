//! Writing what is shared. Serde's own way is a feature of the whole crate, and every other crate of a
//! program would be compiled with it.

use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Writes the value behind the pointer.
pub(crate) fn through<T: Serialize + ?Sized, S: Serializer>(
    value: &Arc<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    T::serialize(value, serializer)
}
