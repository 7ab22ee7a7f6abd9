//! What speech will take, told before it starts.

use tts_core::{GenerateOptions, SpeechRequest, Voice};

use super::TtsModel;
use crate::error::Result;
use crate::memory::{MemoryPlan, batch_size_for};

impl TtsModel {
    /// What [`Self::stream`] will take for a text, at the batch size that it will use here, with the limit
    /// that holds here.
    ///
    /// Frees the idle tensors of the pool, so that what is left is what speech adds to.
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
    /// The text holds nothing to say, or a setting is out of range.
    pub fn plan_stream_memory(
        &self,
        voice: &Voice,
        text: &str,
        options: &GenerateOptions,
    ) -> Result<MemoryPlan> {
        let parts = self.model().parts(text, options)?;
        let need = self.model().stream_cost().need(&parts);
        let batch_size = options.batch_size.unwrap_or(1);
        Ok(MemoryPlan::new(
            self.model(),
            &[voice],
            &parts,
            &need,
            batch_size,
        ))
    }

    /// What [`Self::generate`] will take for a text, the audio included; otherwise as
    /// [`Self::plan_stream_memory`].
    ///
    /// # Errors
    ///
    /// As [`Self::plan_stream_memory`].
    pub fn plan_memory(
        &self,
        voice: &Voice,
        text: &str,
        options: &GenerateOptions,
    ) -> Result<MemoryPlan> {
        let request = SpeechRequest {
            voice: voice.clone(),
            text: text.to_owned(),
        };
        self.plan_batch_memory(&[request], options)
    }

    /// What [`Self::generate_batch`] will take for some texts; otherwise as [`Self::plan_memory`].
    ///
    /// # Errors
    ///
    /// As [`Self::plan_stream_memory`], for any of the texts.
    pub fn plan_batch_memory(
        &self,
        requests: &[SpeechRequest],
        options: &GenerateOptions,
    ) -> Result<MemoryPlan> {
        let texts: Vec<_> = requests.iter().map(|request| &*request.text).collect();
        let parts = self.parts_of(&texts, options)?;
        let need = self.need_of(&parts);
        let batch_size = match options.batch_size {
            Some(size) => size,
            None => batch_size_for(self.model(), &parts, &need),
        };
        let voices: Vec<_> = requests.iter().map(|request| &request.voice).collect();
        Ok(MemoryPlan::new(
            self.model(),
            &voices,
            &parts,
            &need,
            batch_size,
        ))
    }
}
