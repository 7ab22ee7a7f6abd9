//! Values of Flex tensors as slices: the only code that depends on whether the build has Flex.

use burn::tensor::{Device, Tensor};
use tensor_pool::PooledTensor;

pub(crate) use tensors::{HostTensor, is_flex, tensor};

/// Changes the values of a leased tensor in place.
///
/// # Panics
///
/// If the tensor is on another backend.
pub(crate) fn edit<const D: usize, R>(
    tensor: &mut PooledTensor<D>,
    change: impl FnOnce(&mut [f32]) -> R,
) -> R {
    tensor.update_with(|tensor| {
        let mut host = HostTensor::new(tensor);
        let result = change(host.values_mut());
        (host.into_tensor(), result)
    })
}

#[cfg(feature = "flex")]
mod tensors {
    use burn::backend::flex::{FlexTensor, Layout};
    use burn::backend::{DispatchDevice, Flex};
    use burn::tensor::{Bytes, DType, Shape};

    use super::{Device, Tensor};

    /// Returns whether `device` is Flex.
    pub(crate) fn is_flex(device: &Device) -> bool {
        matches!(device.as_dispatch(), DispatchDevice::Flex(_))
    }

    /// A tensor of the Flex backend whose values are one contiguous slice.
    #[derive(Debug)]
    pub(crate) struct HostTensor(FlexTensor);

    impl HostTensor {
        /// Copies the values only if they are not contiguous or not the whole buffer.
        ///
        /// # Panics
        ///
        /// If the tensor is on another backend.
        pub(crate) fn new<const D: usize>(tensor: Tensor<D>) -> Self {
            let flex = tensor
                .try_into_primitive::<Flex>()
                .expect("weights prepared for Flex are used with Flex tensors only");
            Self(match flex.layout().contiguous_offsets() {
                Some((0, end)) if end == flex.storage::<f32>().len() => flex,
                _ => flex.to_contiguous(),
            })
        }

        /// The values in row-major order.
        pub(crate) fn values(&self) -> &[f32] {
            self.0.storage()
        }

        /// The values, copied first if another tensor shares them.
        pub(crate) fn values_mut(&mut self) -> &mut [f32] {
            self.0.storage_mut()
        }

        /// Converts back to a tensor.
        pub(crate) fn into_tensor<const D: usize>(self) -> Tensor<D> {
            Tensor::from_primitive::<Flex>(self.0)
        }
    }

    /// A Flex tensor that owns `values`.
    pub(crate) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_primitive::<Flex>(FlexTensor::new(
            Bytes::from_elems(values),
            Layout::contiguous(Shape::from(shape)),
            DType::F32,
        ))
    }
}

/// Without Flex no device selects the kernels, so none of this is reached.
#[cfg(not(feature = "flex"))]
mod tensors {
    use std::convert::Infallible;

    use super::{Device, Tensor};

    const NO_FLEX: &str = "this build has no Flex backend";

    pub(crate) fn is_flex(_device: &Device) -> bool {
        false
    }

    /// Cannot be created. The private field keeps callers free of warnings about unreachable code.
    #[derive(Debug)]
    pub(crate) struct HostTensor(Infallible);

    impl HostTensor {
        pub(crate) fn new<const D: usize>(_tensor: Tensor<D>) -> Self {
            unreachable!("{NO_FLEX}")
        }

        pub(crate) fn values(&self) -> &[f32] {
            match self.0 {}
        }

        pub(crate) fn values_mut(&mut self) -> &mut [f32] {
            match self.0 {}
        }

        pub(crate) fn into_tensor<const D: usize>(self) -> Tensor<D> {
            match self.0 {}
        }
    }

    pub(crate) fn tensor<const D: usize>(_values: Vec<f32>, _shape: [usize; D]) -> Tensor<D> {
        unreachable!("{NO_FLEX}")
    }
}
