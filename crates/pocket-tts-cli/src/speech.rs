//! What `generate` and `memory` need before anything is spoken.

use anyhow::Result;
use pocket_tts::memory::{MemoryPlan, get_batch_optimizer};
use pocket_tts::{GenerateOptions, SpeechStream, TtsModel, Voice};

use crate::args::SpeechArgs;
use crate::{model, text};

/// A text, and who says it.
pub(crate) struct Speech {
    pub(crate) text: String,
    pub(crate) model: TtsModel,
    pub(crate) voice: Voice,
    pub(crate) options: GenerateOptions,
}

impl Speech {
    /// Settings and text come first: a model takes its time to load. Speech that is not heard at once may
    /// be made in larger batches.
    pub(crate) fn prepare(args: &SpeechArgs, is_heard_at_once: bool) -> Result<Self> {
        let mut options = args.options();
        options.validate().map_err(pocket_tts::Error::from)?;
        let text = text::read(args)?;
        let model = model::load(&args.model)?;
        let voice = match &args.voice {
            None => model.default_voice()?,
            Some(spec) if args.truncate => model.voice_truncated(spec)?,
            Some(spec) => model.voice(spec)?,
        };
        if options.batch_size.is_none() && !is_heard_at_once {
            // What does not fit at all is refused when it is to be spoken, with what would do.
            let optimizer = get_batch_optimizer(&model);
            if let Ok(best) = optimizer.for_text(&text, &options) {
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

    /// Begins to speak.
    pub(crate) fn stream(&self) -> pocket_tts::Result<SpeechStream> {
        self.model.stream(&self.voice, &self.text, &self.options)
    }

    /// What [`Self::stream`] will take.
    pub(crate) fn plan(&self) -> pocket_tts::Result<MemoryPlan> {
        self.model
            .plan_stream_memory(&self.voice, &self.text, &self.options)
    }
}
