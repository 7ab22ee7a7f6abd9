//! Tensors that are leased, returned and leased again.

mod evenly;
mod idle;
mod key;
mod layout;
mod lease;
mod request;
mod stats;
mod zeroed;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use burn::tensor::kind::Basic;
use burn::tensor::{DType, Device, Tensor};
use dashmap::DashMap;

use crate::error::{Error, Result};
use crate::{Budget, ReclaimerHandle};
use evenly::Evenly;
use idle::{Idle, IdleTensors};
use key::{Devices, Key};
use lease::Lease;
use stats::Counters;

pub use lease::PooledTensor;
pub use request::{Reuse, TensorRequest};
pub use stats::{DeviceMemory, OutstandingTensor, PoolStats};

/// Idle tensors that a pool keeps per shape, type and device unless told otherwise.
pub const DEFAULT_MAX_POOL_SIZE: usize = 100;

/// Idle bytes that a pool keeps unless told otherwise: enough for the working state of a model of
/// a few hundred million parameters, little beside its weights.
pub const DEFAULT_MAX_IDLE_BYTES: u64 = 256 << 20;

/// How idle tensors of a pool rank among a budget's reclaimers: nothing is lost with them but the
/// time to make them again, so they go first.
const RECLAIM_PRIORITY: i32 = 0;

/// What a pool keeps.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Most idle tensors per shape, type and device; 0 keeps none. At most 65,536, which is what a
    /// larger number means too.
    pub max_pool_size: usize,
    /// Most idle bytes over all shapes.
    pub max_idle_bytes: u64,
    /// Idle tensors are reserved here, and given up when something else needs the room.
    pub budget: Option<Budget>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            max_pool_size: DEFAULT_MAX_POOL_SIZE,
            max_idle_bytes: DEFAULT_MAX_IDLE_BYTES,
            budget: None,
        }
    }
}

/// A pool of tensors. Cheap to clone: clones are the same pool.
///
/// A lease is found by shape, element type and device. What comes back is kept only if it can be
/// leased again: same shape and type, same device, nobody else holds it, and its elements lie in
/// order from the start of its buffer. Anything else is dropped and counted.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use burn::tensor::{DType, Device};
/// use tensor_pool::MemoryPool;
///
/// let pool = MemoryPool::default();
/// let device = Device::flex();
/// let mut tensor = pool.get_tensor([2, 3], DType::F32, &device)?;
/// tensor.update(|t| t + 1.0);
/// assert_eq!(tensor.clone().sum().into_scalar::<f32>(), 6.0);
/// pool.return_tensor(tensor);
///
/// // The same memory, zeroed.
/// let again = pool.get_tensor([2, 3], DType::F32, &device)?;
/// assert_eq!(again.clone().sum().into_scalar::<f32>(), 0.0);
/// assert_eq!(pool.get_stats().hits, 1);
/// # }
/// # Ok::<(), tensor_pool::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    idle: IdleTensors,
    devices: Devices,
    counters: Counters,
    outstanding: DashMap<u64, OutstandingTensor, Evenly>,
    next_lease: AtomicU64,
    budget: Option<Budget>,
    /// Gives idle tensors up when the budget runs short; ends with the pool.
    _reclaimer: Option<ReclaimerHandle>,
}

impl Default for MemoryPool {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_POOL_SIZE)
    }
}

impl MemoryPool {
    /// A pool that keeps at most `max_pool_size` idle tensors per shape, type and device.
    #[must_use]
    pub fn new(max_pool_size: usize) -> Self {
        Self::with_options(PoolOptions {
            max_pool_size,
            ..PoolOptions::default()
        })
    }

    /// A pool that keeps what `options` say.
    #[must_use]
    pub fn with_options(options: PoolOptions) -> Self {
        let PoolOptions {
            max_pool_size,
            max_idle_bytes,
            budget,
        } = options;
        let shared = Arc::new_cyclic(|shared: &Weak<Shared>| Shared {
            idle: IdleTensors::new(max_pool_size, max_idle_bytes),
            devices: Devices::default(),
            counters: Counters::default(),
            outstanding: DashMap::with_hasher(Evenly),
            next_lease: AtomicU64::new(0),
            _reclaimer: budget.as_ref().map(|budget| {
                let shared = shared.clone();
                budget.add_reclaimer(RECLAIM_PRIORITY, move |wanted| {
                    if let Some(shared) = shared.upgrade() {
                        shared.idle.free(wanted);
                    }
                })
            }),
            budget,
        });
        Self { shared }
    }

    /// Leases a float tensor of zeros.
    ///
    /// # Errors
    ///
    /// `dtype` is no float type or one that the device does not have, the shape has no elements,
    /// or the memory cannot be had.
    pub fn get_tensor<const D: usize>(
        &self,
        shape: [usize; D],
        dtype: DType,
        device: &Device,
    ) -> Result<PooledTensor<D>> {
        self.lease(TensorRequest::new(shape, dtype, device))
    }

    /// Leases a tensor of any kind.
    ///
    /// # Errors
    ///
    /// As [`Self::get_tensor`]; and [`Error::OverBudget`] where the request names a budget that has
    /// no room.
    pub fn lease<const D: usize, K: Basic>(
        &self,
        request: TensorRequest<D, K>,
    ) -> Result<PooledTensor<D, K>> {
        let bytes = request.check()?;
        let key = Key::new(
            &request.shape,
            request.dtype,
            self.shared.devices.index(&request.device),
        );
        let found = self.shared.idle.take(&key);
        let reserved = request
            .budget
            .as_ref()
            .map(|budget| budget.reserve(bytes, request.tag))
            .transpose();
        let reservation = match reserved {
            Ok(reservation) => reservation,
            Err(error) => {
                if let Some(tensor) = found {
                    self.shared.keep(&key, tensor, bytes);
                }
                return Err(Error::OverBudget(error));
            }
        };
        let hit = found.is_some();
        let tensor = match found {
            Some(tensor) => request.reuse.renew(Tensor::from_dispatch(tensor)),
            None => request.make()?,
        };
        let id = self.shared.next_lease.fetch_add(1, Ordering::Relaxed);
        self.shared.counters.leased(bytes, hit);
        self.shared.outstanding.insert(
            id,
            OutstandingTensor {
                tag: request.tag,
                since: Instant::now(),
                size_bytes: bytes,
            },
        );
        Ok(PooledTensor::new(
            tensor,
            Lease {
                shared: self.shared.clone(),
                key,
                id,
                bytes,
                reservation,
            },
        ))
    }

    /// Takes a tensor back; the same as dropping it. It returns to the pool that it came from.
    pub fn return_tensor<const D: usize, K: Basic>(&self, tensor: PooledTensor<D, K>) {
        drop(tensor);
    }

    /// Frees every idle tensor, and asks the devices to free what they keep for themselves.
    pub fn clear(&self) {
        self.trim(0);
        for device in self.shared.devices.all() {
            device.memory_cleanup();
        }
    }

    /// Frees idle tensors until at most `keep_bytes` of them are left. Returns what was freed.
    pub fn trim(&self, keep_bytes: u64) -> u64 {
        self.shared
            .idle
            .free(self.shared.idle.bytes().saturating_sub(keep_bytes))
    }

    /// Most idle tensors that are kept per shape, type and device.
    #[must_use]
    pub fn max_pool_size(&self) -> usize {
        self.shared.idle.max_per_key()
    }

    /// Changes how many idle tensors are kept per shape, type and device, with the meaning of
    /// [`PoolOptions::max_pool_size`]. Where more are idle, those that have waited longest are freed
    /// at once; 0 frees all and keeps none from here on. Leased tensors are not touched.
    ///
    /// For a pool that is made before a program has read its settings. It moves every idle tensor
    /// into a queue of the new length, during which others wait for the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use burn::tensor::{DType, Device};
    /// use tensor_pool::MemoryPool;
    ///
    /// let pool = MemoryPool::default();
    /// let tensors = [(); 3].map(|()| pool.get_tensor([2, 3], DType::F32, &Device::flex()));
    /// drop(tensors);
    /// assert_eq!(pool.get_stats().pooled_tensors, 3);
    ///
    /// pool.set_max_pool_size(1);
    /// assert_eq!(pool.max_pool_size(), 1);
    /// assert_eq!(pool.get_stats().pooled_tensors, 1);
    /// # }
    /// ```
    pub fn set_max_pool_size(&self, max_pool_size: usize) {
        self.shared.idle.set_max_per_key(max_pool_size);
    }

    /// What the pool did and has.
    #[must_use]
    pub fn get_stats(&self) -> PoolStats {
        let shared = &self.shared;
        let devices = shared.devices.all().into_iter();
        shared.counters.read(PoolStats {
            pooled_tensors: shared.idle.tensors(),
            keys: shared.idle.keys(),
            idle_bytes: shared.idle.bytes(),
            devices: devices.filter_map(DeviceMemory::of).collect(),
            ..PoolStats::default()
        })
    }

    /// The tensors that are leased now, the longest held first.
    #[must_use]
    pub fn outstanding(&self) -> Vec<OutstandingTensor> {
        let leases = self.shared.outstanding.iter();
        let mut leases: Vec<_> = leases.map(|lease| (*lease.key(), *lease.value())).collect();
        leases.sort_unstable_by_key(|(id, _)| *id);
        leases.into_iter().map(|(_, lease)| lease).collect()
    }
}

impl Shared {
    /// Keeps a tensor for the next lease if there is room, else drops it. Whether it was kept.
    fn keep(&self, key: &Key, tensor: burn::backend::DispatchTensor, bytes: u64) -> bool {
        let reservation = match &self.budget {
            // Nothing useful shall be freed only to keep something idle.
            Some(budget) if budget.available_bytes() < bytes => return false,
            Some(budget) => match budget.reserve(bytes, "idle tensors") {
                Ok(reservation) => Some(reservation),
                Err(_) => return false,
            },
            None => None,
        };
        self.idle.put(
            key,
            Idle {
                tensor,
                bytes,
                _reservation: reservation,
            },
        )
    }
}
