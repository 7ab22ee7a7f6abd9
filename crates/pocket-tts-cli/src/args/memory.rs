//! Flags for the memory limit and memory profiling.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Args;

/// Each flag except --profile-dir overrides an environment variable.
#[derive(Debug, Args)]
#[command(next_help_heading = "Memory")]
pub(crate) struct MemoryArgs {
    /// The memory limit in MB (1,048,576 bytes). The limit applies to live heap allocations,
    /// memory-mapped weights and device memory; RSS can be larger. If the text does not fit, the command
    /// fails before it generates any speech and prints the lowest limit that is enough. If memory runs out
    /// later, generation stops and the audio generated so far is saved. Overrides
    /// POCKET_TTS_MEMORY_LIMIT_MB. [default: no limit]
    #[arg(long, value_name = "MB", allow_negative_numbers = true)]
    pub(crate) memory_limit: Option<NonZeroU64>,
    /// Record memory use while the command runs. When the command ends, even with an error, a profile is
    /// written to --profile-dir (mprofile_*.dat for `mprof plot`, .html, .svg and .json), and a summary is
    /// printed to standard error. Overrides POCKET_TTS_ENABLE_MEMORY_PROFILING.
    #[arg(long)]
    pub(crate) profile_memory: bool,
    /// The number of idle tensors that the pool retains per shape, type and device; 0 disables pooling.
    /// Overrides POCKET_TTS_MEMORY_POOL_SIZE. [default: 100]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub(crate) pool_size: Option<usize>,
    /// The folder for the files of --profile-memory. [default: the current folder]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) profile_dir: Option<PathBuf>,
}
