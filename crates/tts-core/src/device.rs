//! Devices, selected at run time from those that the build supports.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

/// An error of a device.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device has this name.
    #[error("unknown device {name:?}; the devices are flex, ndarray and wgpu")]
    UnknownName {
        /// The name.
        name: String,
    },
    /// The build does not support the device, or the machine does not have it.
    #[error("device {device} cannot be used: {reason}")]
    Unavailable {
        /// The device.
        device: DeviceKind,
        /// Why, and what to do.
        reason: String,
    },
    /// The device failed during a computation.
    #[error("the device failed while computing: {0}")]
    Failed(String),
}

/// The device that a model runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// The CPU, through Burn's Flex backend with prepared weights and fused kernels.
    Flex,
    /// The CPU, through Burn's ndarray backend.
    NdArray,
    /// A GPU, through WebGPU; software Vulkan where there is none.
    Wgpu,
}

impl DeviceKind {
    /// All devices, whether the build supports them or not.
    pub const ALL: [Self; 3] = [Self::Flex, Self::NdArray, Self::Wgpu];

    /// The name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::NdArray => "ndarray",
            Self::Wgpu => "wgpu",
        }
    }

    /// Returns whether the build supports the device.
    pub const fn is_built_in(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::NdArray => cfg!(feature = "ndarray"),
            Self::Wgpu => cfg!(feature = "wgpu"),
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    ///
    /// The build does not support the device, or the machine has no adapter.
    pub(crate) fn open(self) -> Result<Device, DeviceError> {
        if !self.is_built_in() {
            return Err(DeviceError::Unavailable {
                device: self,
                reason: format!("this build does not support it; build with the feature `{self}`"),
            });
        }
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated, reason = "Burn deprecates the backend before its removal")]
            Self::NdArray => Ok(Device::ndarray()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => wgpu(),
            #[allow(
                unreachable_patterns,
                reason = "reached only in builds without a backend"
            )]
            _ => unreachable!("unsupported devices are rejected above"),
        }
    }
}

/// Sets up the WebGPU runtime, which all models of the process share.
#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device, DeviceError> {
    use std::sync::OnceLock;
    static DEVICE: OnceLock<Result<Device, String>> = OnceLock::new();
    DEVICE
        .get_or_init(|| {
            Device::wgpu_options()
                .init()
                .map_err(|error| error.to_string())
        })
        .clone()
        .map_err(|reason| DeviceError::Unavailable {
            device: DeviceKind::Wgpu,
            reason: format!("{reason}; is a Vulkan, Metal or DirectX 12 driver installed?"),
        })
}

/// The first device that the build supports.
impl Default for DeviceKind {
    fn default() -> Self {
        Self::ALL
            .into_iter()
            .find(|kind| kind.is_built_in())
            .unwrap_or(Self::Flex)
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeviceKind {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| DeviceError::UnknownName {
                name: name.to_owned(),
            })
    }
}
