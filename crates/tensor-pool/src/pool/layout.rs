//! Whether a returned tensor can be leased again.

#[allow(
    unused_imports,
    reason = "without a backend there is nothing to tell apart"
)]
use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind, TensorMetadata};

/// What became of a tensor of the right shape, type and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nobody else holds it, and its elements are in row-major order from the start of a buffer
    /// that holds nothing else.
    AsNew,
    /// Somebody else holds it.
    Shared,
    /// It lies otherwise in memory: a square matrix that was transposed, a view into a larger
    /// buffer. Or its backend does not tell.
    LaidOut,
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
            // A view that is contiguous in a larger buffer cannot be told from a fresh tensor here.
            // It is as good as one, but it keeps the larger buffer.
            #[cfg(feature = "wgpu")]
            DispatchTensorKind::Cube(
                BackendTensor::Float(tensor)
                | BackendTensor::Int(tensor)
                | BackendTensor::Bool(tensor),
            ) => {
                #[allow(
                    unused_imports,
                    reason = "used where the backend's tensors do not tell"
                )]
                use untold::Untold as _;
                (tensor.can_mut(), tensor.is_contiguous())
            }
            _ => (tensor.can_mut(), false),
        };
        match (is_unique, is_plain) {
            (false, _) => Self::Shared,
            (true, false) => Self::LaidOut,
            (true, true) => Self::AsNew,
        }
    }
}

/// An owned array keeps its elements alone in its buffer. The backend's own `can_mut` always says
/// no.
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

/// With operation fusion a tensor is a promise of one, without strides. The method that a tensor
/// has by itself comes before this one.
#[cfg(feature = "wgpu")]
mod untold {
    #[allow(dead_code, reason = "used where the backend's tensors do not tell")]
    pub(super) trait Untold {
        fn is_contiguous(&self) -> bool {
            false
        }
    }

    impl<T> Untold for T {}
}
