//! A cache of recently used voices.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use leak_detect::Trace;
use tts_core::Voice;
use tts_core::audio::PromptLength;

use crate::memory::track;

/// The origin of a voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VoiceKey {
    origin: Origin,
    /// The file's version when it was read; `None` for a voice inside the program.
    version: Option<Version>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// A voice inside the program.
    #[cfg(feature = "builtin-voice")]
    BuiltIn(String),
    File {
        path: PathBuf,
        length: PromptLength,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    bytes: u64,
    modified: SystemTime,
}

impl VoiceKey {
    #[cfg(feature = "builtin-voice")]
    pub(crate) fn built_in(name: &str) -> Self {
        Self {
            origin: Origin::BuiltIn(name.to_owned()),
            version: None,
        }
    }

    /// Creates the key of a file's current version; `None` if the version cannot be determined, so that a
    /// later change would not be noticed.
    pub(crate) fn file(path: &Path, length: PromptLength) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            origin: Origin::File {
                path: std::path::absolute(path).ok()?,
                length,
            },
            version: Some(Version {
                bytes: metadata.len(),
                modified: metadata.modified().ok()?,
            }),
        })
    }
}

/// The most recently used voices of one model, up to a total size.
#[derive(Debug, Trace)]
pub(crate) struct VoiceCache {
    capacity_bytes: u64,
    /// Sorted by last use, most recent last.
    voices: Mutex<Vec<Arc<CachedVoice>>>,
}

#[derive(Debug, Trace)]
struct CachedVoice {
    /// Paths and names, which own no `Arc`.
    #[trace(skip)]
    key: VoiceKey,
    voice: Voice,
}

impl VoiceCache {
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        Self {
            capacity_bytes,
            voices: Mutex::default(),
        }
    }

    /// Returns the cached voice of a key, or loads it.
    pub(crate) fn get<E>(
        &self,
        key: Option<VoiceKey>,
        load: impl FnOnce() -> Result<Voice, E>,
    ) -> Result<Voice, E> {
        let Some(key) = key else {
            return load();
        };
        match self.find(&key) {
            Some(voice) => Ok(voice),
            // Without the lock, because loading is slow and other threads need other voices.
            None => Ok(self.insert(key, load()?)),
        }
    }

    /// Returns the size of the cached voices.
    pub(crate) fn size_bytes(&self) -> u64 {
        size_bytes(&self.lock())
    }

    /// Returns the size of the voices that are not in use.
    pub(crate) fn unused_bytes(&self) -> u64 {
        let voices = self.lock();
        let unused = voices.iter().filter(|cached| !cached.voice.is_shared());
        unused.map(|cached| cached.voice.size_bytes()).sum()
    }

    /// Drops the voices that are not in use, and returns their size.
    pub(crate) fn evict(&self) -> u64 {
        let mut evicted = Vec::new();
        self.lock().retain(|cached| {
            let used = cached.voice.is_shared();
            if !used {
                evicted.push(Arc::clone(cached));
            }
            used
        });
        size_bytes(&evicted)
    }

    /// Registers the cached voices with the cycle detector.
    pub(crate) fn track(&self) {
        self.lock().iter().for_each(track);
    }

    fn find(&self, key: &VoiceKey) -> Option<Voice> {
        let mut voices = self.lock();
        let index = voices.iter().position(|cached| cached.key == *key)?;
        voices[index..].rotate_left(1);
        voices.last().map(|cached| cached.voice.clone())
    }

    /// Adds a voice and drops the least recently used ones above the capacity. If another
    /// thread has added the same voice meanwhile, returns that one.
    fn insert(&self, key: VoiceKey, voice: Voice) -> Voice {
        if let Some(cached) = self.find(&key) {
            return cached;
        }
        let cached = Arc::new(CachedVoice { key, voice });
        let voice = cached.voice.clone();
        let mut dropped = Vec::new();
        let mut voices = self.lock();
        // An older version of the same file is obsolete.
        dropped.extend(voices.extract_if(.., |other| other.key.origin == cached.key.origin));
        if cached.voice.size_bytes() <= self.capacity_bytes {
            track(&cached);
            voices.push(cached);
            while size_bytes(&voices) > self.capacity_bytes {
                dropped.push(voices.remove(0));
            }
        }
        drop(voices);
        voice
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<CachedVoice>>> {
        self.voices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size_bytes(voices: &[Arc<CachedVoice>]) -> u64 {
    voices.iter().map(|cached| cached.voice.size_bytes()).sum()
}
