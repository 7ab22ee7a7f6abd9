//! Reference cycles: created on purpose, and searched for after generation.

use bench_report::memory::Unit;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use leak_detect::{ReferenceCycleDetector, Trace, Unlink};
use pocket_tts::memory::{Settings as MemorySettings, get_cycle_detector};

use super::{Figures, Task};
use crate::{Result, without_end};

/// The number of created cycles of two nodes.
const CYCLES: usize = 1000;

#[derive(Trace, Default)]
#[trace(unlink)]
struct Node {
    other: Mutex<Option<Arc<Node>>>,
    /// Only uses memory.
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

/// Creates, finds and breaks cycles. The first run is a warm-up for allocations that stay.
pub(super) fn measure() -> Result<Figures> {
    made_on_purpose()?;
    made_on_purpose()
}

fn made_on_purpose() -> Result<Figures> {
    let live = || tensor_pool::heap().map(|heap| heap.stats().live_bytes as i64);
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
    let left = since(live());

    let mut figures = Figures::default();
    figures.count("cycles made", CYCLES);
    figures.count("cycles found", found);
    figures.count("objects in them", objects);
    figures.count("objects unlinked", broken.objects_unlinked);
    figures.count("objects left", left_objects);
    figures.put("bytes leaked", Unit::Count, leaked);
    figures.put("bytes left", Unit::Count, left);
    figures.time("detection", detection);
    figures.time("detection and breaking", breaking);
    Ok(figures)
}

/// Generates and streams with tracking of the model's objects, drops them, and searches for cycles.
pub(super) fn measure_in_speech(task: &Task) -> Result<Figures> {
    // A temporary folder for the files of the profiling session.
    let profiles = task.folder.join(format!("profile-{}", std::process::id()));
    std::fs::create_dir_all(&profiles)?;
    let measured = in_speech(task, &profiles);
    std::fs::remove_dir_all(&profiles)?;
    measured
}

fn in_speech(task: &Task, profiles: &Path) -> Result<Figures> {
    let _session = task.begin(MemorySettings::default().with_profiling_to(profiles))?;
    let detector = get_cycle_detector();
    let model = task.load_model()?;
    let voice = task.load_voice(&model)?;
    model.generate(&voice, &task.text, &without_end())?;
    // Also a cancelled stream.
    let mut stream = model.stream(&voice, &task.text, &without_end())?;
    stream.next().ok_or("the stream produced no audio")??;
    drop(stream);
    let mut figures = Figures::default();
    figures.count("objects tracked", detector.get_tracked_count());
    drop((model, voice));
    let start = Instant::now();
    let found = detector.detect_cycles();
    figures.count("objects found in cycles", found);
    figures.time("detection", start.elapsed());
    Ok(figures)
}
