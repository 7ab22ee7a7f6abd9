//! An allocator that knows what it granted and checks that it comes back as it went.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// On top of the system's allocator.
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

    /// Refuses what would bring it above `bytes`.
    pub fn limit(&self, bytes: usize) {
        self.limit.store(bytes, SeqCst);
    }

    /// Requests so far, zeroed ones included.
    pub fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    pub fn zeroed_requests(&self) -> usize {
        self.zeroed_requests.load(SeqCst)
    }

    /// Calls of `realloc` so far.
    pub fn resizes(&self) -> usize {
        self.resizes.load(SeqCst)
    }

    /// What was granted and has not come back.
    pub fn outstanding(&self) -> u64 {
        (self.outstanding.load(SeqCst)) as u64
    }

    pub fn layout_of(&self, block: *mut u8) -> Layout {
        self.granted.lock().unwrap()[&block.addr()]
    }

    fn grant(&self, layout: Layout, ask: impl FnOnce() -> *mut u8) -> *mut u8 {
        self.requests.fetch_add(1, SeqCst);
        let limit = (self.limit.load(SeqCst)) as u64;
        if self.outstanding() + (layout.size() as u64) > limit {
            return std::ptr::null_mut();
        }
        let block = ask();
        self.note(block, layout);
        block
    }

    fn note(&self, block: *mut u8, layout: Layout) {
        self.outstanding.fetch_add(layout.size(), SeqCst);
        let earlier = self.granted.lock().unwrap().insert(block.addr(), layout);
        assert_eq!(earlier, None, "granted twice");
    }

    fn take_back(&self, block: *mut u8, layout: Layout) {
        self.outstanding.fetch_sub(layout.size(), SeqCst);
        let granted = self.granted.lock().unwrap().remove(&block.addr());
        assert_eq!(granted, Some(layout), "comes back as it went");
    }
}

// SAFETY: everything is done by `System`.
unsafe impl GlobalAlloc for &Checked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for this function.
        self.grant(layout, || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.zeroed_requests.fetch_add(1, SeqCst);
        // SAFETY: as for this function.
        self.grant(layout, || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.take_back(block, layout);
        // SAFETY: as for this function.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.resizes.fetch_add(1, SeqCst);
        self.take_back(block, layout);
        // SAFETY: as for this function.
        let moved = unsafe { System.realloc(block, layout, new_size) };
        self.note(
            moved,
            Layout::from_size_align(new_size, layout.align()).unwrap(),
        );
        moved
    }
}
