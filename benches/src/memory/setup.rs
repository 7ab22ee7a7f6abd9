//! The optimisations of a process.

use std::process::Command;

use pocket_tts::memory::{Session, Settings as MemorySettings, init};
use pocket_tts::{LoadOptions, Location, ModelSource, TtsModel, Voice};
use serde::{Deserialize, Serialize};

use super::Task;
use crate::allocation::{AllocatorKind, VARIABLE};
use crate::{BenchModel, Result};

/// The optimisations of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The global allocator.
    pub allocator: AllocatorKind,
    /// Whether the pool of the process retains released tensors.
    pub pool: bool,
    /// Whether a loaded model releases what generation does not need.
    pub optimize: bool,
}

impl Setup {
    /// All optimisations, as in the program.
    pub const ON: Self = Self {
        allocator: AllocatorKind::PoolHugePages,
        pool: true,
        optimize: true,
    };

    /// No optimisation; the allocator only counts.
    pub const OFF: Self = Self {
        allocator: AllocatorKind::PoolOff,
        pool: false,
        optimize: false,
    };

    /// The setups of most comparisons.
    pub const ON_AND_OFF: [(&'static str, Self); 2] = [("on", Self::ON), ("off", Self::OFF)];

    /// On, off, all optimisations but one, and other allocators with the optimisations that do not depend on
    /// ours.
    pub const ALL: [(&'static str, Self); 9] = [
        ("on", Self::ON),
        ("off", Self::OFF),
        ("on, no huge pages", Self::ON.on(AllocatorKind::Pool)),
        ("on, capacity 0", Self::ON.on(AllocatorKind::PoolOff)),
        (
            "on, pool size 0",
            Self {
                pool: false,
                ..Self::ON
            },
        ),
        (
            "on, not optimized",
            Self {
                optimize: false,
                ..Self::ON
            },
        ),
        ("System", Self::ON.on(AllocatorKind::System)),
        ("System, raised", Self::ON.on(AllocatorKind::SystemRaised)),
        ("mimalloc", Self::ON.on(AllocatorKind::MiMalloc)),
    ];

    const fn on(self, allocator: AllocatorKind) -> Self {
        Self { allocator, ..self }
    }

    /// Sets the environment of a process that runs on the allocator.
    pub(super) fn set_environment(self, command: &mut Command) {
        self.allocator.set_environment(command);
        command.env(VARIABLE, self.allocator.name());
    }
}

/// A loaded model and voice.
pub(super) struct Loaded {
    pub(super) model: TtsModel,
    pub(super) voice: Voice,
    /// Keeps the settings active; dropped last.
    pub(super) session: Session,
}

impl Task {
    /// Applies the setup, and loads the model of the task and a voice.
    pub(super) fn load(&self) -> Result<Loaded> {
        let session = self.begin(MemorySettings::default())?;
        let model = self.load_model()?;
        let voice = self.load_voice(&model)?;
        Ok(Loaded {
            model,
            voice,
            session,
        })
    }

    /// Applies the setup and other settings for the lifetime of the session.
    pub(super) fn begin(&self, settings: MemorySettings) -> Result<Session> {
        let pool_size = match self.setup.pool {
            true => settings.pool_size,
            false => 0,
        };
        Ok(init(settings.with_pool_size(pool_size))?)
    }

    /// Loads the model of the task.
    pub(super) fn load_model(&self) -> Result<TtsModel> {
        let source = match self.model {
            BenchModel::BuiltIn => ModelSource::BuiltIn,
            BenchModel::English110M => {
                ModelSource::Config(Location::Local(self.model.files(&self.folder).0))
            }
        };
        let mut options = LoadOptions::default();
        options.optimize_memory = self.setup.optimize;
        Ok(TtsModel::load(source, options)?)
    }

    /// Loads a voice of the model.
    pub(super) fn load_voice(&self, model: &TtsModel) -> Result<Voice> {
        Ok(match self.model {
            BenchModel::BuiltIn => model.default_voice()?,
            BenchModel::English110M => {
                let (_, voice) = self.model.files(&self.folder);
                model.voice(&voice.to_string_lossy())?
            }
        })
    }
}
