//! Devices, chosen at run time among those that the build has.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::error::{Error, InvalidSetting, Result};

/// Where a model computes.
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
    /// Every kind, whether the build has it or not.
    pub const ALL: [Self; 3] = [Self::Flex, Self::NdArray, Self::Wgpu];

    /// The name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::NdArray => "ndarray",
            Self::Wgpu => "wgpu",
        }
    }

    /// Whether this build has the device's backend.
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
    /// The build lacks the backend, or the machine has no adapter.
    pub(crate) fn open(self) -> Result<Device> {
        if !self.is_built_in() {
            return Err(Error::DeviceUnavailable {
                device: self.name(),
                reason: format!(
                    "this program was built without it; build it with `--features {}`",
                    self.name()
                ),
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
            _ => unreachable!("backends that are not built in were refused above"),
        }
    }
}

/// A runtime can be set up once per process; every model shares it.
#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device> {
    use std::sync::OnceLock;
    static DEVICE: OnceLock<std::result::Result<Device, String>> = OnceLock::new();
    DEVICE
        .get_or_init(|| {
            Device::wgpu_options()
                .init()
                .map_err(|error| error.to_string())
        })
        .clone()
        .map_err(|reason| Error::DeviceUnavailable {
            device: DeviceKind::Wgpu.name(),
            reason: format!("{reason}; is a Vulkan, Metal or DirectX 12 driver installed?"),
        })
}

/// The first that the build has.
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
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| {
                Error::Setting(InvalidSetting {
                    name: "device",
                    found: format!("{name:?}"),
                    allowed: "flex, ndarray or wgpu",
                })
            })
    }
}
