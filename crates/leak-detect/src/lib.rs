//! Finds leaked cycles of `Arc`s, and memory that grows with repeated work.
//!
//! - [`ReferenceCycleDetector`] tracks plain [`std::sync::Arc`]s, reports which objects are leaked in
//!   cycles and along which fields, and can break the cycles. Types implement `#[derive(Trace)]`.
//!   [`assert_no_cycles!`] does so in a test.
//! - [`TracedFn`] is a callback whose state can be traced, unlike the captures of a closure.
//! - [`GrowthProbe`] tests whether byte counters grow over repeated work; [`assert_no_growth!`] does
//!   so for the heap.
//! - [`assert_peak!`] limits the peak heap use of a closure, on all threads; [`assert_thread_peak!`] on
//!   the calling thread.
//!
//! ```
//! use leak_detect::{ReferenceCycleDetector, Trace, Unlink};
//! use std::sync::{Arc, Mutex};
//!
//! #[derive(Trace, Default)]
//! #[trace(unlink)]
//! struct Node {
//!     next: Mutex<Option<Arc<Node>>>,
//! }
//!
//! impl Unlink for Node {
//!     fn unlink(&self) {
//!         let next = self.next.lock().unwrap().take();
//!         drop(next);
//!     }
//! }
//!
//! let detector = ReferenceCycleDetector::new();
//! let (a, b) = (Arc::new(Node::default()), Arc::new(Node::default()));
//! detector.track_object(&a);
//! *a.next.lock().unwrap() = Some(Arc::clone(&b));
//! *b.next.lock().unwrap() = Some(Arc::clone(&a));
//! drop((a, b));
//!
//! let report = detector.report();
//! assert_eq!(report.cycles()[0].to_string(), "Node.next -> Node.next -> Node");
//! detector.break_cycles();
//! assert_eq!(detector.detect_cycles(), 0);
//! assert_eq!(detector.get_tracked_count(), 0);
//! ```
//!
//! The crate is not a garbage collector: only
//! [`break_cycles`](ReferenceCycleDetector::break_cycles) frees objects, through your [`Unlink`]
//! implementations. Other leaks (`mem::forget`, `Rc`, raw pointers) are visible only as growth. The
//! crate does not report where memory was allocated.

mod assertions;
mod detector;
mod growth;
mod heap;
mod report;
mod trace;
mod traced_fn;

#[doc(hidden)]
pub use assertions::{check_no_cycles, check_no_growth, check_peak, check_thread_peak};
pub use detector::ReferenceCycleDetector;
pub use growth::{Growth, GrowthProbe, Slope, Verdict};
pub use heap::{CountingAllocator, HeapSource, heap_source, set_heap_source, thread_heap_source};
pub use leak_detect_derive::Trace;
pub use report::{BrokenCycles, Cycle, CycleReport, Object, ObjectStatus, Ownership, PathEdge};
pub use trace::{Trace, Tracer, Unlink};
pub use traced_fn::TracedFn;

/// Runs the README's examples as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
