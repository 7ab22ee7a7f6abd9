//! Predictions of the memory of speech.

use tts_core::memory::StreamNeed;
use tts_core::text::SegmentSize;
use tts_core::{GenerateOptions, SpeechRequest, Voice};

use super::TtsModel;
use crate::error::Result;
use crate::memory::{MemoryPlan, Work, max_batch_size};
use crate::speech::SpeechText;

impl TtsModel {
    /// Predicts the memory of [`Self::stream`] for a text, at the batch size and with the limit that the
    /// stream would use.
    ///
    /// Idle tensors of the pool, cached voices without users and the voice encoder are not included,
    /// because they are freed when memory is short.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// # let model = pocket_tts::TtsModel::builtin()?;
    /// # let voice = model.default_voice()?;
    /// let plan = model.plan_stream_memory(&voice, "Hello world.", &Default::default())?;
    /// println!("{plan}");
    /// assert!(plan.fits(), "there is no limit here");
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The text contains nothing to speak, or a setting is out of range.
    pub fn plan_stream_memory<'a>(
        &self,
        voice: &Voice,
        text: impl Into<SpeechText<'a>>,
        options: &GenerateOptions,
    ) -> Result<MemoryPlan> {
        let request = self.request(voice, text, options)?;
        let need = self
            .model()
            .stream_cost()
            .need(request.text.largest_segment())
            .with_cutting(request.text.cutting_bytes());
        let batch_size = options.batch_size.unwrap_or(1);
        Ok(self.plan(&[request], need, batch_size))
    }

    /// Predicts the memory of [`Self::generate`] for a text, including the audio; otherwise as
    /// [`Self::plan_stream_memory`].
    ///
    /// # Errors
    ///
    /// As [`Self::plan_stream_memory`].
    pub fn plan_memory<'a>(
        &self,
        voice: &Voice,
        text: impl Into<SpeechText<'a>>,
        options: &GenerateOptions,
    ) -> Result<MemoryPlan> {
        self.plan_batch_memory(&[self.request(voice, text, options)?])
    }

    /// Predicts the memory of [`Self::generate_batch`] for some requests; otherwise as
    /// [`Self::plan_memory`].
    ///
    /// # Errors
    ///
    /// As [`Self::plan_stream_memory`], for any of the requests.
    pub fn plan_batch_memory(&self, requests: &[SpeechRequest]) -> Result<MemoryPlan> {
        let mut requests = requests.to_vec();
        for request in &mut requests {
            request.options.validate()?;
            request.text = request.text.cut()?;
        }
        let batch_size = requests
            .iter()
            .filter_map(|request| request.options.batch_size)
            .max();
        let batch_size = batch_size.unwrap_or_else(|| max_batch_size(self.model()));
        let need = self.need_of(&requests);
        Ok(self.plan(&requests, need, batch_size))
    }

    fn plan(
        &self,
        requests: &[SpeechRequest],
        need: StreamNeed,
        max_batch_size: usize,
    ) -> MemoryPlan {
        let model = self.model();
        let size = model.size();
        let mut voices: Vec<&Voice> = Vec::new();
        for request in requests {
            if !voices.iter().any(|voice| voice.is_same(&request.voice)) {
                voices.push(&request.voice);
            }
        }
        let counts = requests.iter().map(|request| request.text.segment_count());
        let own_limits = requests
            .iter()
            .filter_map(|request| request.memory_limit_bytes);
        MemoryPlan::new(&Work {
            ledger: model.ledger(),
            cost: &model.stream_cost(),
            need,
            segments: counts.sum(),
            longest: largest_segment(requests),
            max_batch_size,
            own_limit_bytes: own_limits.min(),
            weights_bytes: size.flow_lm_bytes + size.decoder_bytes,
            mapped_bytes: model.ledger().counted().mapped_bytes,
            voice_bytes: voices.iter().map(|voice| voice.size_bytes()).sum(),
            threads: 0,
            pending: None,
        })
    }

    /// Returns the memory of requests whose texts are cut, including the audio.
    fn need_of(&self, requests: &[SpeechRequest]) -> StreamNeed {
        let frames: usize = requests
            .iter()
            .filter_map(|request| request.text.max_frames())
            .sum();
        let audio_bytes = frames * self.model().frame_samples() * size_of::<f32>();
        self.model()
            .stream_cost()
            .need(largest_segment(requests))
            .with_cutting(
                requests
                    .iter()
                    .map(|request| request.text.cutting_bytes())
                    .sum(),
            )
            .with_audio(audio_bytes as u64)
    }
}

fn largest_segment(requests: &[SpeechRequest]) -> SegmentSize {
    requests
        .iter()
        .map(|request| request.text.largest_segment())
        .max_by_key(SegmentSize::positions)
        .unwrap_or_default()
}
