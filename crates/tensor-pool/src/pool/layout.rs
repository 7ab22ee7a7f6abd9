//! Whether a returned tensor lies in memory as a fresh one would.

use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind};

/// Whether the tensor's elements are in row-major order, from the start of a buffer that holds
/// nothing else. A square matrix that was transposed has the shape of a fresh one, and is not.
///
/// Where a backend does not tell, the answer is no.
pub(super) fn is_plain(tensor: &DispatchTensor) -> bool {
    match &tensor.kind {
        #[cfg(feature = "flex")]
        DispatchTensorKind::Flex(
            BackendTensor::Float(tensor) | BackendTensor::Int(tensor) | BackendTensor::Bool(tensor),
        ) => {
            let whole = (0, tensor.layout().num_elements());
            tensor.layout().contiguous_offsets() == Some(whole)
                && tensor.bytes().len() == whole.1 * tensor.dtype().size()
        }
        #[cfg(feature = "ndarray")]
        DispatchTensorKind::NdArray(
            BackendTensor::Float(tensor) | BackendTensor::Int(tensor) | BackendTensor::Bool(tensor),
        ) => arrays::is_plain(tensor),
        #[cfg(feature = "wgpu")]
        DispatchTensorKind::Cube(
            BackendTensor::Float(tensor) | BackendTensor::Int(tensor) | BackendTensor::Bool(tensor),
        ) => {
            #[allow(
                unused_imports,
                reason = "used where the backend's tensors do not tell"
            )]
            use untold::Untold as _;
            tensor.is_contiguous() && tensor.is_contiguous_buffer()
        }
        _ => false,
    }
}

/// An owned array keeps its elements alone in its buffer.
#[cfg(feature = "ndarray")]
#[allow(deprecated, reason = "Burn deprecates the backend before its removal")]
mod arrays {
    use burn::backend::ndarray::NdArrayTensor;

    pub(super) fn is_plain(tensor: &NdArrayTensor) -> bool {
        macro_rules! by_type {
            ($($name:ident),*) => {
                match tensor {
                    $(NdArrayTensor::$name(array) => {
                        !array.is_borrowed() && array.view().is_standard_layout()
                    })*
                }
            };
        }
        by_type!(F64, F32, I64, I32, I16, I8, U64, U32, U16, U8, Bool)
    }
}

/// With operation fusion a tensor is a promise of one, without strides. The methods that a tensor
/// has by itself come before these.
#[cfg(feature = "wgpu")]
mod untold {
    #[allow(dead_code, reason = "used where the backend's tensors do not tell")]
    pub(super) trait Untold {
        fn is_contiguous(&self) -> bool {
            false
        }
        fn is_contiguous_buffer(&self) -> bool {
            false
        }
    }

    impl<T> Untold for T {}
}
