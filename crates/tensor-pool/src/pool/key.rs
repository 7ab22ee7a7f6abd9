//! The key under which idle tensors are stored.

use std::sync::RwLock;

use burn::tensor::{DType, Device, Shape};

/// The shape, element type and device of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    shape: Shape,
    dtype: DType,
    device: usize,
}

impl Key {
    pub(super) fn new<const D: usize>(shape: &[usize; D], dtype: DType, device: usize) -> Self {
        Self {
            shape: Shape::from(*shape),
            dtype,
            device,
        }
    }
}

/// The devices of all requests so far. Keys contain an index into this list, because Burn's
/// `Device` implements `PartialEq` but not `Hash`.
#[derive(Debug, Default)]
pub(super) struct Devices {
    // A program uses few devices, so the list is searched linearly and never shrinks.
    known: RwLock<Vec<Device>>,
}

impl Devices {
    /// Returns the index of a device, and adds the device if it is new.
    pub(super) fn index(&self, device: &Device) -> usize {
        let find = |known: &[Device]| known.iter().position(|other| other == device);
        // The list is consistent even if another thread panicked, so poisoning is ignored.
        let known = self.known.read().unwrap_or_else(|error| error.into_inner());
        if let Some(index) = find(&known) {
            return index;
        }
        drop(known);
        let mut known = self
            .known
            .write()
            .unwrap_or_else(|error| error.into_inner());
        find(&known).unwrap_or_else(|| {
            known.push(device.clone());
            known.len() - 1
        })
    }

    /// Returns all devices.
    pub(super) fn all(&self) -> Vec<Device> {
        self.known
            .read()
            .unwrap_or_else(|error| error.into_inner())
            .clone()
    }
}
