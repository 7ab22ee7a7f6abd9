//! Voices that were used before, ready to be used again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use leak_detect::Trace;
use tensor_pool::Bytes;
use tts_core::Voice;

use crate::memory::track;

/// What a voice was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VoiceKey {
    origin: Origin,
    /// The file as it was when it was read; `None` for a voice that is part of the program.
    version: Option<Version>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// A voice that is part of the program.
    #[cfg(feature = "builtin-voice")]
    BuiltIn(String),
    File {
        path: PathBuf,
        /// Whether of a recording only the first 30 seconds were heard.
        truncated: bool,
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

    /// A file as it is now; `None` where that cannot be told, and a later change would go unseen.
    pub(crate) fn file(path: &Path, truncated: bool) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            origin: Origin::File {
                path: std::path::absolute(path).ok()?,
                truncated,
            },
            version: Some(Version {
                bytes: metadata.len(),
                modified: metadata.modified().ok()?,
            }),
        })
    }
}

/// The voices of one model that were used last, up to a number of bytes.
#[derive(Debug, Trace)]
pub(crate) struct VoiceCache {
    #[trace(skip)]
    capacity: Bytes,
    /// Those used last at the end.
    voices: Mutex<Vec<Arc<CachedVoice>>>,
}

#[derive(Debug, Trace)]
struct CachedVoice {
    #[trace(skip)]
    key: VoiceKey,
    #[trace(skip)]
    voice: Voice,
}

impl CachedVoice {
    fn bytes(&self) -> Bytes {
        Bytes(self.voice.size_bytes())
    }
}

impl VoiceCache {
    pub(crate) fn new(capacity: Bytes) -> Self {
        Self {
            capacity,
            voices: Mutex::default(),
        }
    }

    /// The voice of a key, or the one that `load` gives.
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
            // With no lock held: it takes a while, and others want other voices.
            None => Ok(self.keep(key, load()?)),
        }
    }

    /// Bytes of the voices in it.
    pub(crate) fn bytes(&self) -> Bytes {
        bytes(&self.lock())
    }

    /// Drops the voices that nobody else holds. Returns their bytes.
    pub(crate) fn evict(&self) -> Bytes {
        let mut evicted = Vec::new();
        self.lock().retain(|cached| {
            let used = cached.voice.is_shared();
            if !used {
                evicted.push(Arc::clone(cached));
            }
            used
        });
        bytes(&evicted)
    }

    /// Lets the cycle detector watch the voices in it.
    pub(crate) fn track(&self) {
        self.lock().iter().for_each(track);
    }

    fn find(&self, key: &VoiceKey) -> Option<Voice> {
        let mut voices = self.lock();
        let place = voices.iter().position(|cached| cached.key == *key)?;
        voices[place..].rotate_left(1);
        voices.last().map(|cached| cached.voice.clone())
    }

    /// Keeps a voice, and as many of the others as there is room for. Gives the voice to use: where
    /// another thread has loaded it meanwhile, that one.
    fn keep(&self, key: VoiceKey, voice: Voice) -> Voice {
        if let Some(kept) = self.find(&key) {
            return kept;
        }
        let cached = Arc::new(CachedVoice { key, voice });
        let voice = cached.voice.clone();
        let mut dropped = Vec::new();
        let mut voices = self.lock();
        // The same file as it was before it changed is of no use any more.
        dropped.extend(voices.extract_if(.., |other| other.key.origin == cached.key.origin));
        if cached.bytes() <= self.capacity {
            track(&cached);
            voices.push(cached);
            while bytes(&voices) > self.capacity {
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

fn bytes(voices: &[Arc<CachedVoice>]) -> Bytes {
    voices.iter().map(|cached| cached.bytes()).sum()
}
