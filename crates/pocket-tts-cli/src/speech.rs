//! Preparation of speech for the commands `generate` and `memory`.

use anyhow::Result;
use pocket_tts::audio::PromptLength;
use pocket_tts::memory::MemoryPlan;
use pocket_tts::{CancelToken, GenerateOptions, OpenModel, PreparedText, SpeechStream, TtsModel};
use pocket_tts::{Voice, VoiceOptions};

use crate::args::SpeechArgs;
use crate::{model, text};

/// A prepared text, the opened files of its model, and the plan of the whole command.
pub(crate) struct PlannedSpeech<'a> {
    args: &'a SpeechArgs,
    model: OpenModel,
    text: PreparedText,
    voice_options: VoiceOptions,
    options: GenerateOptions,
    pub(crate) plan: MemoryPlan,
}

/// A prepared text with its loaded model, voice and options.
pub(crate) struct Speech {
    pub(crate) text: PreparedText,
    pub(crate) model: TtsModel,
    pub(crate) voice: Voice,
    pub(crate) options: GenerateOptions,
}

impl<'a> PlannedSpeech<'a> {
    /// Checks the settings, reads the text, opens the model's files, and plans the memory of loading
    /// them, of the voice, and of the speech. Speech that is not played while it is generated may use a
    /// larger batch.
    pub(crate) fn new(
        args: &'a SpeechArgs,
        is_played_live: bool,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let mut options = args.options();
        options.validate().map_err(pocket_tts::Error::from)?;
        let text = text::read(args)?;
        let model = model::open(&args.model)?;
        let text = model.prepare(text, &options)?;
        if is_played_live {
            options.batch_size = options.batch_size.or(Some(1));
        }
        let length = match args.truncate {
            true => PromptLength::Truncated,
            false => PromptLength::Whole,
        };
        let voice_options = VoiceOptions::default()
            .with_length(length)
            .with_cancel(cancel);
        let plan = model.plan(args.voice.as_deref(), &voice_options, &text, &options)?;
        options.batch_size = Some(plan.batch_size);
        Ok(Self {
            args,
            model,
            text,
            voice_options,
            options,
            plan,
        })
    }

    /// Loads the model and makes the voice, if everything fits the memory limit.
    pub(crate) fn load(self) -> Result<Speech> {
        self.plan.check()?;
        let model = model::load(self.model)?;
        let voice = match &self.args.voice {
            None => model.default_voice()?,
            Some(spec) => model.voice_with(spec, &self.voice_options)?,
        };
        Ok(Speech {
            text: self.text,
            model,
            voice,
            options: self.options,
        })
    }
}

impl Speech {
    /// Starts to generate the speech.
    pub(crate) fn stream(&self) -> pocket_tts::Result<SpeechStream> {
        self.model.stream(&self.voice, &self.text, &self.options)
    }
}
