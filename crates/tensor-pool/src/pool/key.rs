//! By what idle tensors are found.

use std::sync::RwLock;

use burn::tensor::{DType, Device, Shape};

/// Shape, element type and device.
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

/// The devices that tensors were asked for on. Burn's `Device` is no map key: it can be compared,
/// not hashed.
#[derive(Debug, Default)]
pub(super) struct Devices {
    // A program has a few, and they stay.
    known: RwLock<Vec<Device>>,
}

impl Devices {
    /// The number that stands for a device in keys.
    pub(super) fn index(&self, device: &Device) -> usize {
        let find = |known: &[Device]| known.iter().position(|other| other == device);
        // A panic elsewhere cannot leave the list half-written, so poison means nothing.
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

    /// All of them.
    pub(super) fn all(&self) -> Vec<Device> {
        self.known
            .read()
            .unwrap_or_else(|error| error.into_inner())
            .clone()
    }
}
