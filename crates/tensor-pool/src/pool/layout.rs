//! Checks whether a returned tensor can be leased again.

#[allow(unused_imports, reason = "unused if no backend is enabled")]
use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind, TensorMetadata};

/// The state of a returned tensor that still has its shape, type and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// The tensor is the only owner of its buffer. Its elements are in row-major order and fill the
    /// buffer from its start.
    AsNew,
    /// The buffer has another owner.
    Shared,
    /// The memory layout differs, as after a transposition of a square matrix or for a view of a
    /// larger buffer. Also used if the backend does not expose the layout.
    OtherLayout,
}

impl Condition {
    pub(super) fn of(tensor: &DispatchTensor) -> Self {
        let (is_unique, is_plain) = match &tensor.kind {
            #[cfg(feature = "flex")]
            DispatchTensorKind::Flex(
                BackendTensor::Float(tensor)
                | BackendTensor::Int(tensor)
                | BackendTensor::Bool(tensor),
            ) => {
                let whole = (0, tensor.layout().num_elements());
                let is_plain = tensor.layout().contiguous_offsets() == Some(whole)
                    && tensor.bytes().len() == whole.1 * tensor.dtype().size();
                (tensor.is_unique(), is_plain)
            }
            #[cfg(feature = "ndarray")]
            DispatchTensorKind::NdArray(
                BackendTensor::Float(tensor)
                | BackendTensor::Int(tensor)
                | BackendTensor::Bool(tensor),
            ) => arrays::unique_and_plain(tensor),
            // A contiguous view of a larger buffer cannot be distinguished from a fresh tensor
            // here. It can be leased again, but it retains the larger buffer.
            #[cfg(feature = "wgpu")]
            DispatchTensorKind::Cube(
                BackendTensor::Float(tensor)
                | BackendTensor::Int(tensor)
                | BackendTensor::Bool(tensor),
            ) => {
                #[allow(
                    unused_imports,
                    reason = "used if the backend's tensors do not expose their layout"
                )]
                use unknown_layout::UnknownLayout as _;
                (tensor.can_mut(), tensor.is_contiguous())
            }
            _ => (tensor.can_mut(), false),
        };
        match (is_unique, is_plain) {
            (false, _) => Self::Shared,
            (true, false) => Self::OtherLayout,
            (true, true) => Self::AsNew,
        }
    }
}

/// An owned array is the only content of its buffer, so a uniqueness and an order check suffice.
/// The `can_mut` of this backend always returns false.
#[cfg(feature = "ndarray")]
#[allow(deprecated, reason = "Burn deprecates the backend before its removal")]
mod arrays {
    use burn::backend::ndarray::NdArrayTensor;

    pub(super) fn unique_and_plain(tensor: &NdArrayTensor) -> (bool, bool) {
        macro_rules! by_type {
            ($($name:ident),*) => {
                match tensor {
                    $(NdArrayTensor::$name(array) => {
                        (array.is_unique(), array.view().is_standard_layout())
                    })*
                }
            };
        }
        by_type!(F64, F32, I64, I32, I16, I8, U64, U32, U16, U8, Bool)
    }
}

/// With operation fusion, a tensor is a handle of a deferred operation and has no strides. This
/// trait supplies a fallback: an inherent method `is_contiguous` takes precedence over it.
#[cfg(feature = "wgpu")]
mod unknown_layout {
    #[allow(
        dead_code,
        reason = "used if the backend's tensors do not expose their layout"
    )]
    pub(super) trait UnknownLayout {
        fn is_contiguous(&self) -> bool {
            false
        }
    }

    impl<T> UnknownLayout for T {}
}
