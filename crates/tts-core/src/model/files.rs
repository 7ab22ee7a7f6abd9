//! Opened files of a model: texts can be prepared, and memory be planned, before the weights are loaded.

use std::borrow::Cow;
use std::path::Path;

use crate::components::{LoadingCost, VoiceCost, VoiceNeed, dry_components};
use crate::engine::{ModelParts, text_options};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::options::GenerateOptions;
use crate::stream::StreamCost;
use crate::text::PreparedText;
use crate::threads::{STREAM_THREADS, Threads};
use crate::voice::VoiceFile;
use crate::weights::Directory;

use super::segment_rules;

/// The memory that a model and its work take, computed from its files before the model is loaded. Upper
/// bounds, for every device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelCost {
    /// Loading FlowLM and the decoder.
    pub loading: LoadingCost,
    /// Making a voice.
    pub voice: VoiceCost,
    /// Speech.
    pub stream: StreamCost,
    /// Upper bound of the threads that the model and a stream start.
    pub threads: usize,
}

impl ModelParts {
    /// Returns the memory of a model that computes on this many threads; one per available core if
    /// `None`.
    #[must_use]
    pub fn cost(&self, threads: Option<usize>) -> ModelCost {
        let loading = self.loading_cost();
        let compute_threads = Threads::compute_threads(threads);
        ModelCost {
            loading,
            voice: VoiceCost::of(&self.config, compute_threads),
            stream: StreamCost::of_config(&self.config, compute_threads),
            threads: Threads::planned(threads) + STREAM_THREADS,
        }
    }

    /// Prepares a text as [`Model::prepare`](crate::Model::prepare) does. The result is valid for the
    /// model that is loaded from these files. No limit applies: a plan of what follows includes the text, and
    /// loading a model needs far more than preparing a text does.
    ///
    /// # Errors
    ///
    /// As [`Model::prepare`](crate::Model::prepare).
    pub fn prepare<'a>(
        &self,
        text: impl Into<Cow<'a, str>>,
        options: &GenerateOptions,
    ) -> Result<PreparedText> {
        let rules = segment_rules(&self.config, options)?;
        let text = text.into().into_owned();
        let text_options = text_options(&self.config);
        Ok(PreparedText::new(
            &self.tokenizer,
            text,
            &text_options,
            rules,
        )?)
    }

    /// Returns the memory of loading a voice file. Reads only its header.
    ///
    /// # Errors
    ///
    /// As [`Model::load_voice`](crate::Model::load_voice).
    pub fn voice_file_need(&self, path: impl AsRef<Path>, cost: &VoiceCost) -> Result<VoiceNeed> {
        let path = path.as_ref();
        self.need_of(&Directory::open(path)?, path, cost)
    }

    /// Returns the memory of loading a voice from the bytes of a file; `name` identifies it in messages.
    ///
    /// # Errors
    ///
    /// As [`Model::load_voice`](crate::Model::load_voice).
    pub fn static_voice_need(
        &self,
        bytes: &'static [u8],
        name: impl AsRef<Path>,
        cost: &VoiceCost,
    ) -> Result<VoiceNeed> {
        let name = name.as_ref();
        self.need_of(&Directory::from_static(bytes, name)?, name, cost)
    }

    fn need_of(&self, file: &Directory, path: &Path, cost: &VoiceCost) -> Result<VoiceNeed> {
        let (flow_lm, _) = dry_components(&self.config);
        // Only integers are mapped, and unmapped at once.
        let ledger = Ledger::default();
        let file = VoiceFile::open(file, path, &flow_lm.voice_shape(), &ledger)?;
        Ok(cost.file(file.positions(), file.largest_layer_bytes() as u64))
    }
}
