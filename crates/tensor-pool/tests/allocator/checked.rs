//! An allocator that records its blocks and checks that each is freed with its layout.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// A checking allocator on top of the system allocator.
pub struct Checked {
    granted: Mutex<BTreeMap<usize, Layout>>,
    outstanding: AtomicUsize,
    requests: AtomicUsize,
    zeroed_requests: AtomicUsize,
    resizes: AtomicUsize,
    limit: AtomicUsize,
}

impl Checked {
    pub const fn new() -> Self {
        Self {
            granted: Mutex::new(BTreeMap::new()),
            outstanding: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            zeroed_requests: AtomicUsize::new(0),
            resizes: AtomicUsize::new(0),
            limit: AtomicUsize::new(usize::MAX),
        }
    }

    /// Sets the limit. Requests that would exceed it fail.
    pub fn limit(&self, bytes: usize) {
        self.limit.store(bytes, SeqCst);
    }

    /// Returns the number of allocation requests, including zeroed ones.
    pub fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    pub fn zeroed_requests(&self) -> usize {
        self.zeroed_requests.load(SeqCst)
    }

    /// Returns the number of calls of `realloc`.
    pub fn resizes(&self) -> usize {
        self.resizes.load(SeqCst)
    }

    /// Returns the bytes that are allocated and not freed.
    pub fn outstanding(&self) -> u64 {
        (self.outstanding.load(SeqCst)) as u64
    }

    pub fn layout_of(&self, block: *mut u8) -> Layout {
        self.granted.lock().unwrap()[&block.addr()]
    }

    fn grant(&self, layout: Layout, allocate: impl FnOnce() -> *mut u8) -> *mut u8 {
        self.requests.fetch_add(1, SeqCst);
        let limit = (self.limit.load(SeqCst)) as u64;
        if self.outstanding() + (layout.size() as u64) > limit {
            return std::ptr::null_mut();
        }
        let block = allocate();
        self.record(block, layout);
        block
    }

    fn record(&self, block: *mut u8, layout: Layout) {
        self.outstanding.fetch_add(layout.size(), SeqCst);
        let earlier = self.granted.lock().unwrap().insert(block.addr(), layout);
        assert_eq!(earlier, None, "the address is already allocated");
    }

    fn remove(&self, block: *mut u8, layout: Layout) {
        self.outstanding.fetch_sub(layout.size(), SeqCst);
        let granted = self.granted.lock().unwrap().remove(&block.addr());
        assert_eq!(granted, Some(layout), "freed with another layout");
    }
}

// SAFETY: all calls are forwarded to `System`.
unsafe impl GlobalAlloc for &Checked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller fulfils the same requirements.
        self.grant(layout, || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.zeroed_requests.fetch_add(1, SeqCst);
        // SAFETY: the caller fulfils the same requirements.
        self.grant(layout, || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.remove(block, layout);
        // SAFETY: the caller fulfils the same requirements.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.resizes.fetch_add(1, SeqCst);
        self.remove(block, layout);
        // SAFETY: the caller fulfils the same requirements.
        let moved = unsafe { System.realloc(block, layout, new_size) };
        self.record(
            moved,
            Layout::from_size_align(new_size, layout.align()).unwrap(),
        );
        moved
    }
}
