//! How much memory may be used, and what is recorded of it.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Args;

/// Each of these replaces an environment variable.
#[derive(Debug, Args)]
#[command(next_help_heading = "Memory")]
pub(crate) struct MemoryArgs {
    /// Most memory that speech may take, in MB of 1,048,576 bytes. Counted are the program's live heap
    /// blocks, mapped weights and the device's own memory; the resident set can be larger. What does not
    /// fit is refused before a word is spoken, with a limit that would do; if memory runs short on the
    /// way, speech ends and what was said is kept. Replaces POCKET_TTS_MEMORY_LIMIT_MB. [default: no
    /// limit]
    #[arg(long, value_name = "MB", allow_negative_numbers = true)]
    pub(crate) memory_limit: Option<NonZeroU64>,
    /// Record memory while the command runs; when it ends, also with an error, write mprofile_*.dat
    /// (for `mprof plot`), .html, .svg and .json files to --profile-dir, and a summary to the standard
    /// error. Replaces POCKET_TTS_ENABLE_MEMORY_PROFILING=1.
    #[arg(long)]
    pub(crate) profile_memory: bool,
    /// Idle tensors of each shape and type that are kept for reuse; 0 keeps none. Replaces
    /// POCKET_TTS_MEMORY_POOL_SIZE. [default: 100]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub(crate) pool_size: Option<usize>,
    /// The folder that --profile-memory writes to. [default: the current folder]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) profile_dir: Option<PathBuf>,
}
