//! Replays recorded requests on an allocator, as fast as possible.

use std::alloc::{GlobalAlloc, Layout, handle_alloc_error};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use memmap2::MmapMut;
use serde::{Deserialize, Serialize};

use super::trace::{Operation, Step};
use super::{AllocatorKind, Trace};
use crate::process::{Process, own_task, send};
use crate::{Result, peak_rss_bytes, reset_peak_rss, rss_bytes};

/// Distance of the bytes that are written into each new block, in addition to its last byte. These writes
/// touch every page, because no supported system has smaller pages.
pub const TOUCH_STRIDE_BYTES: usize = 4096;

/// The role of a process that replays a trace.
const ROLE: &str = "replay-allocations";

/// Number of spins of a waiting thread before it yields.
const SPINS: u32 = 100;

/// One pass over the whole trace.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Pass {
    /// Time from the first request to the last.
    pub wall: Duration,
    /// Minor page faults of the pass; `None` if the system does not report them.
    pub minor_faults: Option<u64>,
}

/// The measurements of a replaying process. Memory is relative to the RSS before the first request, and
/// `None` if the system does not report it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Replayed {
    /// The passes in order. Before the first pass, the allocator has no free memory.
    pub passes: Vec<Pass>,
    /// Peak RSS.
    pub peak_rss_bytes: Option<u64>,
    /// RSS after the last pass, with all blocks freed.
    pub idle_rss_bytes: Option<u64>,
    /// RSS after the allocator was trimmed.
    pub trimmed_rss_bytes: Option<u64>,
}

/// The task of a replaying process.
#[derive(Debug, Serialize, Deserialize)]
struct ReplayTask {
    kind: AllocatorKind,
    trace: PathBuf,
    passes: usize,
}

/// Replays a trace in a new process.
///
/// # Errors
///
/// The process cannot be started or fails.
pub fn replay_in_new_process(kind: AllocatorKind, trace: &Path, passes: usize) -> Result<Replayed> {
    let task = ReplayTask {
        kind,
        trace: trace.to_owned(),
        passes,
    };
    let set_environment = |command: &mut Command| {
        command.env_remove(super::VARIABLE);
        kind.set_environment(command);
    };
    Process::start(ROLE, &task, set_environment)?
        .answer()
        .map_err(|error| format!("replay on {}: {error}", kind.name()).into())
}

/// A function that replays a trace several times in this process on one allocator: [`replay`].
pub type Replay = fn(AllocatorKind, &Trace, usize) -> Result<Replayed>;

/// Replays the trace of this process's task. Returns `false` if the process was not started for a replay.
///
/// # Errors
///
/// The trace cannot be read.
pub fn serve_replay(on: fn(AllocatorKind) -> Replay) -> Result<bool> {
    let Some(task) = own_task::<ReplayTask>(ROLE)? else {
        return Ok(false);
    };
    let trace = Trace::open(&task.trace)?;
    send(&on(task.kind)(task.kind, &trace, task.passes)?)?;
    Ok(true)
}

/// An allocator that is called like a global allocator: no call is inlined.
///
/// The binary implements this trait, so access to thread-local variables is compiled as for its global
/// allocator. An implementation in a library could be compiled differently.
pub trait CalledLikeGlobal {
    /// Returns the allocator.
    fn allocator() -> &'static (impl GlobalAlloc + 'static);

    /// # Safety
    /// See [`GlobalAlloc::alloc`].
    #[inline(never)]
    unsafe fn alloc(layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the same contract.
        unsafe { Self::allocator().alloc(layout) }
    }

    /// # Safety
    /// See [`GlobalAlloc::alloc_zeroed`].
    #[inline(never)]
    unsafe fn alloc_zeroed(layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the same contract.
        unsafe { Self::allocator().alloc_zeroed(layout) }
    }

    /// # Safety
    /// See [`GlobalAlloc::dealloc`].
    #[inline(never)]
    unsafe fn dealloc(block: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the same contract.
        unsafe { Self::allocator().dealloc(block, layout) }
    }

    /// # Safety
    /// See [`GlobalAlloc::realloc`].
    #[inline(never)]
    unsafe fn realloc(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller upholds the same contract.
        unsafe { Self::allocator().realloc(block, layout, new_size) }
    }
}

/// Replays a trace several times in this process.
///
/// # Errors
///
/// The table of blocks cannot be allocated.
pub fn replay<A: CalledLikeGlobal>(
    kind: AllocatorKind,
    trace: &Trace,
    passes: usize,
) -> Result<Replayed> {
    kind.prepare();
    kind.set_as_installed();
    let blocks = Blocks::new(trace.blocks())?;
    // Makes the pages of the file resident.
    let requests: usize = (0..trace.threads())
        .flat_map(|thread| (0..trace.spans()).map(move |span| trace.steps(thread, span).count()))
        .sum();
    std::hint::black_box(requests);
    Ok(measure::<A>(kind, trace, &blocks, passes))
}

fn measure<A: CalledLikeGlobal>(
    kind: AllocatorKind,
    trace: &Trace,
    blocks: &Blocks,
    passes: usize,
) -> Replayed {
    let mut results = vec![Pass::default(); passes];
    allocate_and_free::<A>(trace.largest_freed_before());
    reset_peak_rss();
    let before = rss_bytes();
    run::<A>(trace, blocks, &mut results);
    let beyond = |bytes: Option<u64>| Some(bytes?.saturating_sub(before?));
    let peak_rss_bytes = beyond(peak_rss_bytes());
    let idle_rss_bytes = beyond(rss_bytes());
    kind.trim();
    Replayed {
        passes: results,
        peak_rss_bytes,
        idle_rss_bytes,
        trimmed_rss_bytes: beyond(rss_bytes()),
    }
}

/// Allocates and frees a block of the size that the recorded process freed before, because glibc raises its
/// thresholds then. The block is not touched, so none of its pages becomes resident.
fn allocate_and_free<A: CalledLikeGlobal>(size: usize) {
    let Ok(layout) = Layout::from_size_align(size.max(1), 16) else {
        return;
    };
    // SAFETY: the size is not zero, and the block is freed with the same layout.
    unsafe {
        let block = std::hint::black_box(A::alloc(layout));
        if !block.is_null() {
            A::dealloc(block, layout);
        }
    }
}

fn run<A: CalledLikeGlobal>(trace: &Trace, blocks: &Blocks, results: &mut [Pass]) {
    let passes = results.len();
    let barrier = &Barrier::new(trace.threads());
    let pass = |thread: usize| {
        barrier.wait_for_all();
        for span in 0..trace.spans() {
            work::<A>(blocks, trace.steps(thread, span));
            barrier.wait_for_all();
        }
    };
    std::thread::scope(|scope| {
        for thread in 1..trace.threads() {
            scope.spawn(move || (0..passes).for_each(|_| pass(thread)));
        }
        for result in results {
            let faults = tensor_pool::minor_faults();
            let start = Instant::now();
            pass(0);
            let wall = start.elapsed();
            let minor_faults = tensor_pool::minor_faults()
                .zip(faults)
                .map(|(after, before)| after - before);
            *result = Pass { wall, minor_faults };
        }
    });
}

fn work<A: CalledLikeGlobal>(blocks: &Blocks, mut steps: impl Iterator<Item = Step>) {
    while let Some(step) = steps.next() {
        let layout = layout(step);
        match step.operation {
            Operation::Alloc => {
                // SAFETY: no recorded layout has a size of zero.
                let block = unsafe { A::alloc(layout) };
                touch(block, 0, layout);
                blocks.put(step.block, block);
            }
            Operation::AllocZeroed => {
                // SAFETY: no recorded layout has a size of zero.
                let block = unsafe { A::alloc_zeroed(layout) };
                touch(block, 0, layout);
                blocks.put(step.block, block);
            }
            // SAFETY: the block was allocated by this allocator with this layout, and `take` returns it once.
            Operation::Free => unsafe { A::dealloc(blocks.take(step.block), layout) },
            Operation::ResizeFrom => {
                let old = blocks.take(step.block);
                let to = steps.next().expect("a resize consists of two steps");
                let resized = self::layout(to);
                // SAFETY: as for `Free`; the new size is recorded and has the same alignment.
                let block = unsafe { A::realloc(old, layout, resized.size()) };
                touch(block, layout.size(), resized);
                blocks.put(to.block, block);
            }
            Operation::ResizeTo => unreachable!("ResizeTo follows ResizeFrom"),
        }
    }
}

#[inline]
fn layout(step: Step) -> Layout {
    Layout::from_size_align(step.size as usize, 1 << step.align_log2)
        .expect("the recorded layout was valid")
}

/// Writes into every page of a block, starting at an offset.
#[inline]
fn touch(block: *mut u8, from: usize, layout: Layout) {
    if block.is_null() {
        handle_alloc_error(layout);
    }
    let offsets = (from..layout.size()).step_by(TOUCH_STRIDE_BYTES);
    for offset in offsets.chain(from.max(layout.size() - 1)..layout.size()) {
        // SAFETY: the offset is within the block. A volatile write is not optimised away.
        unsafe { block.add(offset).write_volatile(1) };
    }
}

/// The addresses of the live blocks. The table is a separate mapping, so it does not affect the measured
/// allocator: glibc raises its mapping threshold when a large block is freed.
struct Blocks(MmapMut);

impl Blocks {
    fn new(count: usize) -> Result<Self> {
        let mut map = MmapMut::map_anon(count.max(1) * size_of::<AtomicPtr<u8>>())?;
        // Makes the pages resident.
        map.fill(0);
        Ok(Self(map))
    }

    #[inline]
    fn place(&self, block: u32) -> &AtomicPtr<u8> {
        let places = self.0.len() / size_of::<AtomicPtr<u8>>();
        assert!(
            (block as usize) < places,
            "the block is within the number that the trace states"
        );
        // SAFETY: the index is within the mapping, which is page-aligned and was zero, a valid value.
        unsafe { &*self.0.as_ptr().cast::<AtomicPtr<u8>>().add(block as usize) }
    }

    #[inline]
    fn put(&self, block: u32, address: *mut u8) {
        self.place(block).store(address, Ordering::Release);
    }

    /// Waits until another thread has allocated the block, and removes its address.
    #[inline]
    fn take(&self, block: u32) -> *mut u8 {
        let place = self.place(block);
        let mut address = place.load(Ordering::Acquire);
        let mut waiting = Waiting::default();
        while address.is_null() {
            waiting.wait();
            address = place.load(Ordering::Acquire);
        }
        place.store(std::ptr::null_mut(), Ordering::Relaxed);
        address
    }
}

/// A barrier that neither allocates nor sleeps.
struct Barrier {
    threads: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
}

impl Barrier {
    fn new(threads: usize) -> Self {
        Self {
            threads,
            arrived: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
        }
    }

    fn wait_for_all(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round + 1, Ordering::Release);
            return;
        }
        let mut waiting = Waiting::default();
        while self.round.load(Ordering::Acquire) == round {
            waiting.wait();
        }
    }
}

#[derive(Default)]
struct Waiting(u32);

impl Waiting {
    fn wait(&mut self) {
        self.0 = (self.0 + 1) % SPINS;
        match self.0 {
            0 => std::thread::yield_now(),
            _ => std::hint::spin_loop(),
        }
    }
}
