//! Storage of idle tensors.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use burn::backend::DispatchTensor;
use crossbeam_queue::ArrayQueue;
use dashmap::{DashMap, Entry};

use super::key::Key;
use crate::Reservation;

/// The longest queue. A queue allocates all of its slots when it is created, 8 bytes each.
const MAX_QUEUE: usize = 1 << 16;

/// An idle tensor with its size and its reservation.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) tensor: DispatchTensor,
    pub(super) bytes: u64,
    pub(super) _reservation: Option<Reservation>,
}

/// One bounded queue per key, with a byte limit for all queues together.
#[derive(Debug)]
pub(super) struct IdleTensors {
    // Boxed, so that an empty slot takes only the size of a pointer.
    queues: DashMap<Key, ArrayQueue<Box<Idle>>>,
    /// The capacity of new queues. It is read under the lock of the queue's map shard, so that
    /// [`Self::set_max_per_key`] finds every queue of another capacity.
    max_per_key: AtomicUsize,
    max_bytes: u64,
    /// An upper bound of the bytes in the queues: increased before a tensor is inserted and
    /// decreased after a tensor was removed.
    bytes: AtomicU64,
}

impl IdleTensors {
    pub(super) fn new(max_per_key: usize, max_bytes: u64) -> Self {
        Self {
            queues: DashMap::new(),
            max_per_key: AtomicUsize::new(max_per_key.min(MAX_QUEUE)),
            max_bytes,
            bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn max_per_key(&self) -> usize {
        self.max_per_key.load(Ordering::Relaxed)
    }

    /// Changes the limit per key and frees the tensors beyond it, the longest idle first.
    pub(super) fn set_max_per_key(&self, max: usize) {
        self.max_per_key
            .store(max.min(MAX_QUEUE), Ordering::Relaxed);
        // As in `free`, tensors are dropped without a lock.
        let mut dropped = Vec::new();
        self.queues.retain(|_, queue| {
            // Read again, so that concurrent calls leave every queue with the last stored limit.
            let max = self.max_per_key();
            if queue.capacity() == max {
                return true;
            }
            while queue.len() > max
                && let Some(idle) = queue.pop()
            {
                self.bytes.fetch_sub(idle.bytes, Ordering::Relaxed);
                dropped.push(idle);
            }
            if queue.is_empty() {
                return false;
            }
            let resized = ArrayQueue::new(max);
            while let Some(idle) = queue.pop() {
                // Cannot fail: the excess was removed, and this thread has exclusive access.
                let _ = resized.push(idle);
            }
            *queue = resized;
            true
        });
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn tensors(&self) -> usize {
        self.queues.iter().map(|queue| queue.len()).sum()
    }

    /// Returns the number of keys with idle tensors.
    pub(super) fn keys(&self) -> usize {
        let queues = self.queues.iter();
        queues.filter(|queue| !queue.is_empty()).count()
    }

    /// Removes and returns the longest idle tensor of a key.
    pub(super) fn take(&self, key: &Key) -> Option<DispatchTensor> {
        let idle = self.queues.get(key)?.pop()?;
        self.bytes.fetch_sub(idle.bytes, Ordering::Relaxed);
        Some(idle.tensor)
    }

    /// Stores a tensor if the limits allow it. Returns whether it was stored.
    pub(super) fn put(&self, key: &Key, idle: Idle) -> bool {
        let bytes = idle.bytes;
        if self.max_per_key() == 0 {
            return false;
        }
        let counted = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |current| {
                let sum = current.saturating_add(bytes);
                (sum <= self.max_bytes).then_some(sum)
            });
        if counted.is_err() {
            return false;
        }
        let idle = Box::new(idle);
        // Locks one shard of the map during the push. Most keys exist already.
        let rejected = match self.queues.get(key) {
            Some(queue) => queue.push(idle).err(),
            None => self.put_new_key(key, idle),
        };
        if rejected.is_some() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        rejected.is_none()
    }

    /// Stores a tensor of a key that had no queue. Returns the tensor if it cannot be stored.
    fn put_new_key(&self, key: &Key, idle: Box<Idle>) -> Option<Box<Idle>> {
        let queue = self.queues.entry(key.clone());
        match (queue, self.max_per_key()) {
            (Entry::Occupied(queue), _) => queue.get().push(idle).err(),
            (Entry::Vacant(_), 0) => Some(idle),
            (Entry::Vacant(entry), max) => entry.insert(ArrayQueue::new(max)).push(idle).err(),
        }
    }

    /// Frees tensors until `wanted` bytes are free or no tensor is left, and removes empty queues.
    /// Returns the number of freed bytes.
    pub(super) fn free(&self, wanted: u64) -> u64 {
        let mut freed = 0;
        // Tensors are dropped without a lock on the map, because dropping their reservations locks
        // the budget.
        let mut dropped = Vec::new();
        self.queues.retain(|_, queue| {
            while freed < wanted
                && let Some(idle) = queue.pop()
            {
                self.bytes.fetch_sub(idle.bytes, Ordering::Relaxed);
                freed = freed.saturating_add(idle.bytes);
                dropped.push(idle);
            }
            !queue.is_empty()
        });
        drop(dropped);
        freed
    }
}
