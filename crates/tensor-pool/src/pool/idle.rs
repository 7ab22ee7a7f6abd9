//! Tensors that wait for a lease.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use burn::backend::DispatchTensor;
use crossbeam_queue::ArrayQueue;
use dashmap::{DashMap, Entry};

use super::key::Key;
use crate::Reservation;

/// Longest queue. A queue has its places from the start: 8 bytes each.
const MAX_QUEUE: usize = 1 << 16;

/// One of them.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) tensor: DispatchTensor,
    pub(super) bytes: u64,
    pub(super) _reservation: Option<Reservation>,
}

/// A bounded queue per key, and a bound for all of them together.
#[derive(Debug)]
pub(super) struct IdleTensors {
    // Boxed: a queue's empty places are then as small as a pointer.
    queues: DashMap<Key, ArrayQueue<Box<Idle>>>,
    /// How long a queue is that is made now. Read under the lock of the queue's part of the map, so
    /// that [`Self::set_max_per_key`] finds every queue of another length.
    max_per_key: AtomicUsize,
    max_bytes: u64,
    /// Never less than what lies in the queues: counted before a tensor goes in, and after one
    /// came out.
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

    /// Frees what is beyond the new bound, of each key those that have waited longest.
    pub(super) fn set_max_per_key(&self, max: usize) {
        self.max_per_key
            .store(max.min(MAX_QUEUE), Ordering::Relaxed);
        // As in `free`, dropped with no lock held.
        let mut dropped = Vec::new();
        self.queues.retain(|_, queue| {
            // Of two calls at once the later one's, whichever comes last to this queue.
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
                // It fits: what was too much is gone, and nobody else has the queue.
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

    /// Keys with idle tensors.
    pub(super) fn keys(&self) -> usize {
        let queues = self.queues.iter();
        queues.filter(|queue| !queue.is_empty()).count()
    }

    /// The tensor of a key that has waited longest.
    pub(super) fn take(&self, key: &Key) -> Option<DispatchTensor> {
        let idle = self.queues.get(key)?.pop()?;
        self.bytes.fetch_sub(idle.bytes, Ordering::Relaxed);
        Some(idle.tensor)
    }

    /// Keeps a tensor if there is room. Whether there was.
    pub(super) fn put(&self, key: &Key, idle: Idle) -> bool {
        let bytes = idle.bytes;
        if self.max_per_key() == 0 {
            return false;
        }
        let room = self
            .bytes
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                let then = now.saturating_add(bytes);
                (then <= self.max_bytes).then_some(then)
            });
        if room.is_err() {
            return false;
        }
        let idle = Box::new(idle);
        // A lock on part of the map for as long as the push takes; most keys exist already.
        let rejected = match self.queues.get(key) {
            Some(queue) => queue.push(idle).err(),
            None => self.put_first(key, idle),
        };
        if rejected.is_some() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        rejected.is_none()
    }

    /// Keeps a tensor of a key that had no queue; returns it where none may be kept by now.
    fn put_first(&self, key: &Key, idle: Box<Idle>) -> Option<Box<Idle>> {
        let queue = self.queues.entry(key.clone());
        match (queue, self.max_per_key()) {
            (Entry::Occupied(queue), _) => queue.get().push(idle).err(),
            (Entry::Vacant(_), 0) => Some(idle),
            (Entry::Vacant(place), max) => place.insert(ArrayQueue::new(max)).push(idle).err(),
        }
    }

    /// Frees tensors until `wanted` bytes are free or none is left, and queues that stay empty.
    /// Returns what was freed.
    pub(super) fn free(&self, wanted: u64) -> u64 {
        let mut freed = 0;
        // Tensors are dropped with no lock held: a budget may then ask whoever it likes.
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
