//! Preparation of speech for the commands `generate` and `memory`.

use anyhow::Result;
use pocket_tts::memory::{MemoryPlan, get_batch_optimizer};
use pocket_tts::{GenerateOptions, PreparedText, SpeechStream, TtsModel, Voice};

use crate::args::SpeechArgs;
use crate::{model, text};

/// A prepared text with its model, voice and options.
pub(crate) struct Speech {
    pub(crate) text: PreparedText,
    pub(crate) model: TtsModel,
    pub(crate) voice: Voice,
    pub(crate) options: GenerateOptions,
}

impl Speech {
    /// Checks the settings, reads the text and loads the model. Speech that is not played while it is
    /// generated may use a larger batch.
    pub(crate) fn prepare(args: &SpeechArgs, is_played_live: bool) -> Result<Self> {
        let mut options = args.options();
        options.validate().map_err(pocket_tts::Error::from)?;
        // Before the model, which takes longer to load.
        let text = text::read(args)?;
        let model = model::load(&args.model)?;
        let voice = match &args.voice {
            None => model.default_voice()?,
            Some(spec) if args.truncate => model.voice_truncated(spec)?,
            Some(spec) => model.voice(spec)?,
        };
        let text = model.prepare(text, &options)?;
        if options.batch_size.is_none() && !is_played_live {
            // If not even one segment fits, the stream is refused with a sufficient limit.
            if let Ok(best) = get_batch_optimizer(&model).for_prepared(&text) {
                options.batch_size = Some(best.batch_size as usize);
            }
        }
        Ok(Self {
            text,
            model,
            voice,
            options,
        })
    }

    /// Starts to generate the speech.
    pub(crate) fn stream(&self) -> pocket_tts::Result<SpeechStream> {
        self.model.stream(&self.voice, &self.text, &self.options)
    }

    /// Predicts the memory of [`Self::stream`].
    pub(crate) fn plan(&self) -> pocket_tts::Result<MemoryPlan> {
        self.model
            .plan_stream_memory(&self.voice, &self.text, &self.options)
    }
}
