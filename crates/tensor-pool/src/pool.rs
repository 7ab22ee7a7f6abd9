//! A pool of reusable tensors.

mod idle;
mod key;
mod layout;
mod lease;
mod request;
mod stats;

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use burn::tensor::kind::Basic;
use burn::tensor::{DType, Device, Tensor};
use dashmap::DashMap;

use crate::error::{Error, Result};
use crate::{Budget, ReclaimerHandle};
use idle::{Idle, IdleTensors};
use key::{Devices, Key};
use lease::Lease;
use stats::Counters;

pub use lease::PooledTensor;
pub use request::{Reuse, TensorRequest};
pub use stats::{DeviceMemory, OutstandingTensor, PoolStats};

/// The default number of idle tensors that a pool retains per shape, type and device.
pub const DEFAULT_MAX_POOL_SIZE: usize = 100;

/// The default number of idle bytes that a pool retains. It fits the working state of a model of a
/// few hundred million parameters, and is small compared with the weights of such a model.
pub const DEFAULT_MAX_IDLE_BYTES: u64 = 256 << 20;

/// The priority of a pool's reclaimer in a budget. Idle tensors are released first, because only
/// the time to allocate them again is lost.
const RECLAIM_PRIORITY: i32 = 0;

/// Limits of a pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// The maximum number of idle tensors per shape, type and device. 0 disables reuse; values
    /// above 65,536 are treated as 65,536.
    pub max_pool_size: usize,
    /// The maximum number of idle bytes over all shapes, types and devices.
    pub max_idle_bytes: u64,
    /// The budget in which idle tensors are reserved. They are released when another reservation
    /// needs their bytes.
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

/// A pool of tensors. Clones are cheap handles of the same pool.
///
/// Idle tensors are looked up by shape, element type and device. A returned tensor is retained only
/// if it can be leased again: shape, type and device are unchanged, its buffer has no other owner,
/// and its elements are in order from the start of the buffer. All other tensors are dropped and
/// counted.
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
/// // The memory is reused and zeroed.
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
    outstanding: DashMap<u64, OutstandingTensor, SequentialHash>,
    next_lease: AtomicU64,
    budget: Option<Budget>,
    /// Releases idle tensors when the budget has too few bytes available. Removed with the pool.
    _reclaimer: Option<ReclaimerHandle>,
}

impl Default for MemoryPool {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_POOL_SIZE)
    }
}

impl MemoryPool {
    /// Creates a pool that retains at most `max_pool_size` idle tensors per shape, type and device.
    #[must_use]
    pub fn new(max_pool_size: usize) -> Self {
        Self::with_options(PoolOptions {
            max_pool_size,
            ..PoolOptions::default()
        })
    }

    /// Creates a pool with the limits in `options`.
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
            outstanding: DashMap::with_hasher(SequentialHash),
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
    /// Fails if `dtype` is not a float type, if the device does not support it, if the shape has no
    /// elements or exceeds the address space, or if the memory cannot be allocated.
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
    /// Fails as [`Self::get_tensor`] does, and with [`Error::OverBudget`] if the budget of the
    /// request has too few bytes available.
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
                    self.shared.retain(&key, tensor, bytes);
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

    /// Returns a tensor to the pool that it was leased from. Equivalent to dropping it.
    pub fn return_tensor<const D: usize, K: Basic>(&self, tensor: PooledTensor<D, K>) {
        drop(tensor);
    }

    /// Frees all idle tensors and the unused memory of the devices' own pools.
    pub fn clear(&self) {
        self.trim(0);
        for device in self.shared.devices.all() {
            device.memory_cleanup();
        }
    }

    /// Frees idle tensors until at most `keep_bytes` remain. Returns the number of freed bytes.
    pub fn trim(&self, keep_bytes: u64) -> u64 {
        self.shared
            .idle
            .free(self.shared.idle.bytes().saturating_sub(keep_bytes))
    }

    /// Returns the maximum number of idle tensors per shape, type and device.
    #[must_use]
    pub fn max_pool_size(&self) -> usize {
        self.shared.idle.max_per_key()
    }

    /// Changes the maximum number of idle tensors per shape, type and device, as defined by
    /// [`PoolOptions::max_pool_size`]. Tensors beyond the new maximum are freed immediately, the
    /// longest idle first. Leased tensors are not affected.
    ///
    /// Intended for a pool that is created before the settings of a program are read. The call
    /// moves all idle tensors into queues of the new length, and blocks other users of the pool
    /// meanwhile.
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

    /// Returns the statistics of the pool.
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

    /// Returns the leased tensors, the oldest lease first.
    #[must_use]
    pub fn outstanding(&self) -> Vec<OutstandingTensor> {
        let leases = self.shared.outstanding.iter();
        let mut leases: Vec<_> = leases.map(|lease| (*lease.key(), *lease.value())).collect();
        leases.sort_unstable_by_key(|(id, _)| *id);
        leases.into_iter().map(|(_, lease)| lease).collect()
    }
}

impl Shared {
    /// Stores a tensor for the next lease if the limits allow it, otherwise drops it. Returns
    /// whether it was stored.
    fn retain(&self, key: &Key, tensor: burn::backend::DispatchTensor, bytes: u64) -> bool {
        let reservation = match &self.budget {
            // Checked first, because a reservation that does not fit would run the reclaimers.
            Some(budget) if budget.available_bytes().is_some_and(|left| left < bytes) => {
                return false;
            }
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

/// 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, volume 3, 6.4).
const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

/// Distributes sequential lease numbers evenly over the shards of their table. With a random hash,
/// shards would fill unevenly and keep growing as new numbers are added.
#[derive(Clone, Copy, Debug)]
struct SequentialHash;

#[derive(Debug)]
struct SequentialHasher(u64);

impl BuildHasher for SequentialHash {
    type Hasher = SequentialHasher;

    fn build_hasher(&self) -> SequentialHasher {
        SequentialHasher(0)
    }
}

impl Hasher for SequentialHasher {
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(GOLDEN_RATIO);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(GOLDEN_RATIO);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
