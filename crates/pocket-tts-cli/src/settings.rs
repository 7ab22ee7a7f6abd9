//! Memory settings from flags and environment variables.

use std::env;

use anyhow::{Result, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;
use pocket_tts::memory::Settings;

use crate::args::{Cli, MemoryArgs};

/// Returns the settings of a command. A flag overrides its variable, which is then not read.
pub(crate) fn settings(flags: Option<&MemoryArgs>) -> Result<Settings> {
    let overridden = |name: &str| {
        flags.is_some_and(|flags| match name {
            "POCKET_TTS_MEMORY_LIMIT_MB" => flags.memory_limit.is_some(),
            "POCKET_TTS_ENABLE_MEMORY_PROFILING" => flags.profile_memory,
            "POCKET_TTS_MEMORY_POOL_SIZE" => flags.pool_size.is_some(),
            _ => false,
        })
    };
    let mut settings = Settings::from_variables(|name| match overridden(name) {
        true => None,
        false => env::var_os(name),
    })?;
    let Some(flags) = flags else {
        return Ok(settings);
    };
    if let Some(mb) = flags.memory_limit {
        settings.memory_limit_bytes = Some(mb.get().saturating_mul(1 << 20));
    }
    settings.profiling |= flags.profile_memory;
    if let Some(count) = flags.pool_size {
        settings.pool_size = count;
    }
    if let Some(folder) = &flags.profile_dir {
        if !settings.profiling {
            bail!(Cli::command().error(
                ErrorKind::MissingRequiredArgument,
                "--profile-dir has no effect without --profile-memory; add --profile-memory",
            ));
        }
        settings.profile_dir.clone_from(folder);
    }
    Ok(settings)
}
