//! Where parameters live: on the host for Flex's kernels, as tensors for every other backend.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::error::{Error, Result};

/// A device, and whether its parameters are prepared for the Flex kernels.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    device: Device,
    kernels: bool,
}

impl Placement {
    /// The placement that suits `device`.
    pub(crate) fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            kernels: is_flex(device),
        }
    }

    /// The same device with the portable bodies, which tests compare the kernels with.
    #[cfg(all(test, feature = "flex"))]
    pub(crate) fn portable(device: &Device) -> Self {
        Self {
            device: device.clone(),
            kernels: false,
        }
    }

    /// The device that tensors are made on.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Whether the Flex kernels run here.
    pub(crate) fn kernels(&self) -> bool {
        self.kernels
    }
}

#[cfg(feature = "flex")]
fn is_flex(device: &Device) -> bool {
    matches!(device.as_dispatch(), burn::backend::DispatchDevice::Flex(_))
}

#[cfg(not(feature = "flex"))]
fn is_flex(_device: &Device) -> bool {
    false
}

/// A parameter with one axis: a bias, a scale.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a model has a few hundred of these"
)]
pub(crate) enum Vector {
    /// For the Flex kernels, which read slices.
    #[cfg(feature = "flex")]
    Host(std::sync::Arc<[f32]>),
    /// For every other backend.
    Device(Tensor<1>),
}

impl Vector {
    /// Places `values`.
    pub(crate) fn place(values: &[f32], placement: &Placement) -> Self {
        #[cfg(feature = "flex")]
        if placement.kernels() {
            return Self::Host(values.into());
        }
        Self::Device(tensor_from(
            values.to_vec(),
            [values.len()],
            placement.device(),
        ))
    }

    /// The values on the host.
    ///
    /// # Panics
    ///
    /// If the parameter was placed for another backend.
    #[cfg(feature = "flex")]
    pub(crate) fn host(&self) -> &[f32] {
        match self {
            Self::Host(values) => values,
            Self::Device(_) => unreachable!("parameters of one layer are placed together"),
        }
    }

    /// The values as a tensor that broadcasts over `[batch, time, channel]`.
    ///
    /// # Panics
    ///
    /// If the parameter was placed for Flex.
    pub(crate) fn broadcast(&self) -> Tensor<3> {
        match self {
            #[cfg(feature = "flex")]
            Self::Host(_) => unreachable!("parameters of one layer are placed together"),
            Self::Device(tensor) => tensor.clone().unsqueeze(),
        }
    }
}

/// A tensor that owns `values`; nothing is copied on the host.
pub(crate) fn tensor_from<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// The values of a tensor, in row-major order.
pub(crate) fn vec_from<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor
        .try_into_data()
        .map_err(|error| Error::Device(error.to_string()))?
        .try_into_vec::<f32>()
        .map_err(|error| Error::Device(format!("{error:?}")))
}
