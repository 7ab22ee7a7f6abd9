//! Mimi's encoder: audio to latents, for voice prompts.

use burn::tensor::Tensor;

use super::seanet::Seanet;
use super::transformer::ProjectedTransformer;
use crate::cancel::CancelToken;
use crate::config::Config;
use crate::error::Result;
use crate::ops::{Activation, Backend, CausalConv, ConvGeometry, Linear, tensor_from, vec_from};
use crate::state::StateMemory;
use crate::weights::{Loader, WeightsError};

/// Frames per block. With this value, the largest activations of the released models
/// take about 4 MiB, for prompts of any length.
const BLOCK_FRAMES: usize = 8;

/// The encoding half of Mimi and the projection to FlowLM's width.
#[derive(Debug)]
pub(crate) struct MimiEncoder {
    seanet: Seanet,
    transformer: ProjectedTransformer,
    /// From the transformer's positions to frames; `None` if both have the same rate.
    downsample: Option<CausalConv>,
    speaker: Linear,
    frame_samples: usize,
    /// Positions of the transformer per frame.
    positions_per_frame: usize,
    /// Channels of SEANet's output.
    features: usize,
    /// Channels of a latent.
    latent: usize,
    backend: Backend,
}

/// Encoded audio on the host.
#[derive(Debug)]
pub(crate) struct Latents {
    /// `[frame, encoder width]`
    pub(crate) values: Vec<f32>,
    /// Number of frames.
    pub(crate) frames: usize,
}

impl MimiEncoder {
    /// Frames of a slice of [`conditioning`](Self::conditioning). FlowLM's products reach their full speed
    /// from 16 rows on, and a slice of the released models takes about 50 ms, which bounds the time until
    /// a cancelled prefill ends.
    pub(crate) const SLICE_FRAMES: usize = 16;

    /// Loads the encoding half of `mimi.…` and `flow_lm.speaker_proj_weight`.
    pub(crate) fn load(loader: &Loader<'_>, config: &Config) -> Result<Self, WeightsError> {
        let sizes = &config.mimi;
        let mimi = loader.scope("mimi");
        let seanet = Seanet::encoder(&mimi.scope("encoder.model"), &sizes.seanet)?;
        let transformer =
            ProjectedTransformer::load(&mimi.scope("encoder_transformer"), &sizes.transformer)?;
        let positions = sizes.steps_per_frame();
        let downsample = if positions > 1 {
            let geometry = ConvGeometry {
                inputs: sizes.seanet.dimension,
                outputs: sizes.encoder_dim(),
                kernel: 2 * positions,
                stride: positions,
                dilation: 1,
                replicate: true,
            };
            Some(mimi.unbiased_conv("downsample.conv.conv", geometry)?)
        } else {
            None
        };
        let shape = [config.flow_lm.transformer.d_model, sizes.encoder_dim()];
        Ok(Self {
            seanet,
            transformer,
            downsample,
            speaker: loader.linear_tensor("flow_lm.speaker_proj_weight", shape)?,
            frame_samples: sizes.frame_samples(),
            positions_per_frame: positions,
            features: sizes.seanet.dimension,
            latent: sizes.encoder_dim(),
            backend: loader.backend().clone(),
        })
    }

    /// Frames of so many samples.
    pub(crate) fn frames(&self, samples: usize) -> usize {
        samples.div_ceil(self.frame_samples)
    }

    /// Elements of the state while audio is encoded.
    pub(crate) fn state_elements(&self) -> usize {
        self.seanet.state_elements()
            + self.transformer.state_elements()
            + self
                .downsample
                .as_ref()
                .map_or(0, CausalConv::state_elements)
    }

    /// Upper bound of elements allocated at a time by `encode`, without the state and the latents of
    /// earlier blocks.
    pub(crate) fn scratch_elements(&self) -> usize {
        let samples = BLOCK_FRAMES * self.frame_samples;
        let positions = BLOCK_FRAMES * self.positions_per_frame;
        let features = positions * self.features;
        let downsample = self.downsample.as_ref();
        self.seanet
            .scratch_elements(samples, 1)
            .max(features + self.transformer.scratch_elements(positions))
            .max(features + downsample.map_or(0, |conv| conv.scratch_elements(positions)))
    }

    /// Elements of the latents of so many frames.
    pub(crate) fn latent_elements(&self, frames: usize) -> usize {
        frames * self.latent
    }

    /// Encodes samples, padded with zeros to whole frames.
    ///
    /// # Errors
    ///
    /// The pool cannot lease the state, the device fails, or `cancel` was cancelled.
    pub(crate) fn encode(
        &self,
        samples: &[f32],
        memory: &StateMemory,
        cancel: &CancelToken,
    ) -> Result<Latents> {
        let mut seanet = self.seanet.state(1, memory)?;
        let mut transformer = self.transformer.state(1, memory)?;
        let mut downsample = match &self.downsample {
            Some(conv) => Some((conv, conv.state(1, memory)?)),
            None => None,
        };
        let frames = self.frames(samples.len());
        let mut values = Vec::with_capacity(self.latent_elements(frames));
        for samples in samples.chunks(BLOCK_FRAMES * self.frame_samples) {
            cancel.check()?;
            let padded = samples.len().next_multiple_of(self.frame_samples);
            let mut block = Vec::with_capacity(padded);
            block.extend_from_slice(samples);
            block.resize(padded, 0.0);
            let x = tensor_from(block, [1, padded, 1], self.backend.device());
            let x = self.seanet.forward(x, &mut seanet, &self.backend);
            let x = self.transformer.forward(x, &mut transformer, &self.backend);
            let x = match &mut downsample {
                Some((conv, state)) => conv.forward(x, state, Activation::Identity, &self.backend),
                None => x,
            };
            // Waits for the device, so that cancelled work ends.
            values.extend(vec_from(x)?);
        }
        Ok(Latents { values, frames })
    }

    /// Projects latents to FlowLM's input, slice by slice.
    ///
    /// # Shapes
    ///
    /// -> [1, frame, FlowLM's width] each
    pub(crate) fn conditioning(&self, latents: &Latents) -> impl Iterator<Item = Tensor<3>> {
        let slices = latents.values.chunks(Self::SLICE_FRAMES * self.latent);
        slices.map(|slice| {
            let shape = [1, slice.len() / self.latent, self.latent];
            let slice = tensor_from(slice.to_vec(), shape, self.backend.device());
            self.speaker.forward(slice, Activation::Identity)
        })
    }

    /// SEANet's features only.
    #[cfg(test)]
    pub(crate) fn features(
        &self,
        samples: &[f32],
        memory: &StateMemory,
    ) -> Result<Tensor<3>, tensor_pool::Error> {
        let x = tensor_from(
            samples.to_vec(),
            [1, samples.len(), 1],
            self.backend.device(),
        );
        let mut state = self.seanet.state(1, memory)?;
        Ok(self.seanet.forward(x, &mut state, &self.backend))
    }
}
