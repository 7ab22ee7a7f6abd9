//! How operations run on a device, and where their parameters are stored.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::flex;
use crate::device::DeviceError;

/// How operations run on a device.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    /// Flex: kernels on slices, with prepared weights on the host.
    Kernels(Device),
    /// Any device: `Tensor` methods, with weights as tensors.
    Portable(Device),
    /// No device. Layers have shapes but no values; they cannot compute.
    DryRun,
}

impl Backend {
    /// The kernels for Flex, the portable bodies for every other device.
    pub(crate) fn new(device: &Device) -> Self {
        if flex::is_flex(device) {
            Self::Kernels(device.clone())
        } else {
            Self::Portable(device.clone())
        }
    }

    /// The device that tensors are created on.
    ///
    /// # Panics
    ///
    /// In a dry run, which creates no tensors.
    pub(crate) fn device(&self) -> &Device {
        match self {
            Self::Kernels(device) | Self::Portable(device) => device,
            Self::DryRun => unreachable!("a dry run creates no tensors"),
        }
    }

    /// Returns whether the kernels run instead of the portable bodies.
    pub(crate) fn uses_kernels(&self) -> bool {
        matches!(self, Self::Kernels(_))
    }
}

/// A parameter with one axis, such as a bias or a scale.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a model has a few hundred of these"
)]
pub(crate) enum Vector {
    /// A slice for the kernels; empty in a dry run.
    Host(Arc<[f32]>),
    /// A tensor for the portable bodies.
    Device(Tensor<1>),
}

impl Vector {
    /// Stores `values` where `backend` reads them.
    pub(crate) fn new(values: &[f32], backend: &Backend) -> Self {
        match backend {
            Backend::Kernels(_) | Backend::DryRun => Self::Host(values.into()),
            Backend::Portable(device) => {
                Self::Device(tensor_from(values.to_vec(), [values.len()], device))
            }
        }
    }

    /// The values as a slice.
    ///
    /// # Panics
    ///
    /// If the parameter is a tensor.
    pub(crate) fn host(&self) -> &[f32] {
        match self {
            Self::Host(values) => values,
            Self::Device(_) => unreachable!("all parameters of a layer have one backend"),
        }
    }

    /// The values as a tensor that broadcasts over `[batch, time, channel]`.
    ///
    /// # Panics
    ///
    /// If the parameter is a slice.
    pub(crate) fn broadcast(&self) -> Tensor<3> {
        match self {
            Self::Host(_) => unreachable!("all parameters of a layer have one backend"),
            Self::Device(tensor) => tensor.clone().unsqueeze(),
        }
    }
}

/// A tensor that owns `values`. Host backends do not copy them.
pub(crate) fn tensor_from<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// Reads the values of a tensor in row-major order.
///
/// # Errors
///
/// The device fails.
pub(crate) fn vec_from<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, DeviceError> {
    tensor
        .try_into_data()
        .map_err(|error| DeviceError::Failed(error.to_string()))?
        .try_into_vec::<f32>()
        .map_err(|error| DeviceError::Failed(format!("{error:?}")))
}

/// Passes the values of a tensor, in row-major order, to `read`. Values on the host are not copied.
///
/// # Errors
///
/// The device fails.
pub(crate) fn with_values<const D: usize, R>(
    tensor: &Tensor<D>,
    read: impl FnOnce(&[f32]) -> R,
) -> Result<R, DeviceError> {
    if flex::is_flex(&tensor.device()) {
        Ok(read(flex::HostTensor::new(tensor.clone()).values()))
    } else {
        Ok(read(&vec_from(tensor.clone())?))
    }
}
