//! The report of the suite `allocation`.

use serde::{Deserialize, Serialize};

use crate::{LoadAverage, Spread};

/// Everything that the suite measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Cores of the machine.
    pub cores: usize,
    /// Load averages of the system.
    pub load_average: LoadAverage,
    /// Distance of the bytes that a replay writes into each block.
    pub touch_stride_bytes: usize,
    /// One recorded trace for each model, with its replays.
    pub traces: Vec<Trace>,
    /// Speech on each allocator.
    pub speech: Vec<Speech>,
}

/// A recorded trace and its replays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Name of the model.
    pub model: String,
    /// Threads at which the speech was recorded.
    pub threads: usize,
    /// Length of the recorded audio.
    pub audio_seconds: f64,
    /// Frames of the recorded audio.
    pub frames: usize,
    /// The recorded requests.
    pub summary: TraceSummary,
    /// Replaying processes for each allocator.
    pub processes: usize,
    /// Passes over the trace in each process.
    pub passes: usize,
    /// One entry for each allocator.
    pub replays: Vec<Replay>,
}

/// The requests of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// Threads that made requests.
    pub threads: usize,
    /// Threads that the replay starts.
    pub replaying_threads: usize,
    /// Requests.
    pub requests: usize,
    /// Blocks; a resized block counts again.
    pub blocks: usize,
    /// Blocks of 64 KiB and more.
    pub large_blocks: usize,
    /// Bytes of all blocks.
    pub bytes: u64,
    /// Bytes of the blocks of 64 KiB and more.
    pub large_bytes: u64,
    /// Peak of the bytes in live blocks, in the recorded order.
    pub peak_live_bytes: u64,
    /// Blocks that were freed by another thread than the one that allocated them.
    pub freed_by_other_threads: usize,
    /// The largest block that the process had freed before the recording.
    pub largest_freed_before_bytes: u64,
}

/// Replays of a trace on an allocator. Memory is counted beyond what the replaying process used before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Name of the allocator.
    pub allocator: String,
    /// Time of the first pass of each process.
    pub first_pass_ms: Option<Spread>,
    /// Time of the other passes.
    pub pass_ms: Option<Spread>,
    /// Minor page faults of the first pass.
    pub first_pass_minor_faults: Option<Spread>,
    /// Minor page faults of the other passes.
    pub pass_minor_faults: Option<Spread>,
    /// Peak RSS.
    pub peak_rss_bytes: Option<Spread>,
    /// RSS after the last pass, when all blocks are freed.
    pub idle_rss_bytes: Option<Spread>,
    /// RSS after the allocator was trimmed.
    pub trimmed_rss_bytes: Option<Spread>,
    /// Peak RSS divided by the peak of live bytes.
    pub peak_rss_per_live_byte: Option<Spread>,
}

/// Speech on an allocator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speech {
    /// Name of the model.
    pub model: String,
    /// Threads.
    pub threads: usize,
    /// Name of the allocator.
    pub allocator: String,
    /// Processes.
    pub processes: usize,
    /// Seconds of audio per second of generation.
    pub times_real_time: Option<Spread>,
    /// Minor page faults per frame.
    pub minor_faults_per_frame: Option<Spread>,
    /// Peak RSS of each process.
    pub peak_rss_bytes: Option<Spread>,
}
