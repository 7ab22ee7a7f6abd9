//! Mimi's encoder: audio to latents, for voice prompts.

use burn::tensor::Tensor;

use super::seanet::Seanet;
use super::transformer::ProjectedTransformer;
use crate::config::Config;
use crate::ops::{Activation, Backend, CausalConv, ConvGeometry, Linear, tensor_from};
use crate::state::StateMemory;
use crate::weights::{Loader, WeightsError};

/// Frames per call of the encoder. With this value, the largest activations of the released models
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
    backend: Backend,
}

impl MimiEncoder {
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
            backend: loader.backend().clone(),
        })
    }

    /// Encodes samples, padded with zeros to whole frames.
    ///
    /// # Shapes
    ///
    /// -> [1, frame, encoder width]
    pub(crate) fn encode(
        &self,
        samples: &[f32],
        memory: &StateMemory,
    ) -> Result<Tensor<3>, tensor_pool::Error> {
        let mut seanet = self.seanet.state(1, memory)?;
        let mut transformer = self.transformer.state(1, memory)?;
        let mut downsample = match &self.downsample {
            Some(conv) => Some((conv, conv.state(1, memory)?)),
            None => None,
        };
        let blocks = samples
            .chunks(BLOCK_FRAMES * self.frame_samples)
            .map(|block| {
                let padded = block.len().next_multiple_of(self.frame_samples);
                let mut block = block.to_vec();
                block.resize(padded, 0.0);
                let x = tensor_from(block, [1, padded, 1], self.backend.device());
                let x = self.seanet.forward(x, &mut seanet, &self.backend);
                let x = self.transformer.forward(x, &mut transformer, &self.backend);
                match &mut downsample {
                    Some((conv, state)) => {
                        conv.forward(x, state, Activation::Identity, &self.backend)
                    }
                    None => x,
                }
            })
            .collect();
        Ok(Tensor::cat(blocks, 1))
    }

    /// Projects encoded audio to FlowLM's input.
    ///
    /// # Shapes
    ///
    /// `latents` [1, frame, encoder width] -> [1, frame, FlowLM's width]
    pub(crate) fn conditioning(&self, latents: Tensor<3>) -> Tensor<3> {
        self.speaker.forward(latents, Activation::Identity)
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
