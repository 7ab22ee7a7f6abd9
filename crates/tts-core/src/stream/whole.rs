//! Speech from its start to its end.

use super::{Speech, SpeechRequest};
use crate::audio::Audio;
use crate::error::{Error, MemoryLimitExceeded, Result};
use crate::memory::MemoryLimit;
use crate::model::Model;
use crate::options::GenerateOptions;
use crate::voice::Voice;

impl Model {
    /// Speaks a text from its start to its end: the chunks of [`Self::stream`], joined.
    ///
    /// # Errors
    ///
    /// As [`Self::stream`], or the device failed.
    pub fn generate(&self, voice: &Voice, text: &str, options: &GenerateOptions) -> Result<Audio> {
        self.generate_within(voice, text, options, None)
    }

    /// As [`Self::generate`], within a limit on memory. The audio counts too.
    ///
    /// # Errors
    ///
    /// As [`Self::generate`]; [`Error::MemoryLimitTooLow`] before anything is said, or
    /// [`Error::MemoryLimitExceeded`] with what was said, when something else took the memory
    /// meanwhile.
    pub fn generate_within(
        &self,
        voice: &Voice,
        text: &str,
        options: &GenerateOptions,
        limit: Option<MemoryLimit>,
    ) -> Result<Audio> {
        let mut audio = self.speak_whole(&[(voice, text)], options, limit)?;
        Ok(audio.pop().unwrap_or_else(|| self.audio(Vec::new())))
    }

    /// Speaks several texts, [`batch_size`](GenerateOptions::batch_size) parts of them at once. Each
    /// sounds as [`Self::generate`] would have it sound with the same seed.
    ///
    /// # Errors
    ///
    /// As [`Self::generate_within`], for any of the texts.
    pub fn generate_batch(
        &self,
        requests: &[SpeechRequest],
        options: &GenerateOptions,
        limit: Option<MemoryLimit>,
    ) -> Result<Vec<Audio>> {
        let requests: Vec<_> = requests
            .iter()
            .map(|request| (&request.voice, request.text.as_str()))
            .collect();
        self.speak_whole(&requests, options, limit)
    }

    fn speak_whole(
        &self,
        requests: &[(&Voice, &str)],
        options: &GenerateOptions,
        limit: Option<MemoryLimit>,
    ) -> Result<Vec<Audio>> {
        let frame = self.frame_samples();
        let mut lengths = Vec::with_capacity(requests.len());
        for (_, text) in requests {
            let parts = self.parts(text, options)?;
            lengths.push(frame * parts.iter().map(|part| part.max_frames).sum::<usize>());
        }
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = lengths.iter().sum::<usize>() * size_of::<f32>();
        let speech = Speech::start(self, requests, options, limit, bytes)?;
        // Room for the longest that they can become, so that nobody else can take it away on the way;
        // pages that are not written are not resident.
        let mut spoken = Vec::with_capacity(requests.len());
        for length in lengths {
            let mut samples: Vec<f32> = Vec::new();
            samples
                .try_reserve_exact(length)
                .map_err(|_| Error::OutOfMemory {
                    what: "the audio",
                    bytes: (length * size_of::<f32>()) as u64,
                })?;
            spoken.push(samples);
        }
        // What speech computed in is free by then; a copy that is no larger takes nothing more.
        let to_spare = self.stream_cost().need(&[]).scratch as usize / size_of::<f32>();
        let finish = |spoken: Vec<Vec<f32>>| -> Vec<Audio> {
            let audio = spoken.into_iter().map(|mut samples| {
                if samples.len() <= to_spare {
                    samples.shrink_to_fit();
                }
                self.audio(samples)
            });
            audio.collect()
        };
        for chunk in speech {
            match chunk {
                Ok(chunk) => spoken[chunk.request].extend_from_slice(&chunk.samples),
                Err(Error::MemoryLimitExceeded(end)) => {
                    let end = MemoryLimitExceeded {
                        audio: finish(spoken),
                        ..*end
                    };
                    return Err(Error::MemoryLimitExceeded(Box::new(end)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(finish(spoken))
    }

    fn audio(&self, samples: Vec<f32>) -> Audio {
        Audio::new(samples, self.sample_rate_hz())
    }
}
