//! Audio to latents, for voice prompts.

use burn::tensor::Tensor;

use super::seanet::Seanet;
use super::transformer::ProjectedTransformer;
use crate::config::Config;
use crate::error::Result;
use crate::ops::{Activation, CausalConv, ConvGeometry, Linear, Placement, tensor_from};
use crate::state::StateMemory;
use crate::weights::Weights;

/// Frames that are encoded at once. The largest activations, next to the samples, take about 4 MiB
/// at this size in the released models, whatever the length of the prompt.
const BLOCK_FRAMES: usize = 8;

/// The encoding half of Mimi, and the projection into FlowLM.
#[derive(Debug)]
pub(crate) struct MimiEncoder {
    seanet: Seanet,
    transformer: ProjectedTransformer,
    /// From the transformer's steps to frames; none where both have one rate.
    downsample: Option<CausalConv>,
    speaker: Linear,
    frame_samples: usize,
    placement: Placement,
}

impl MimiEncoder {
    /// Loads the encoding half of `mimi.…` and `flow_lm.speaker_proj_weight`.
    pub(crate) fn load(weights: &Weights, config: &Config, placement: &Placement) -> Result<Self> {
        let mimi = &config.mimi;
        let scope = weights.scope("mimi");
        let steps = mimi.steps_per_frame();
        let downsample = if steps > 1 {
            let weight = scope.floats("downsample.conv.conv.weight")?;
            let geometry = ConvGeometry {
                inputs: mimi.seanet.dimension,
                outputs: mimi.encoder_dim(),
                kernel: 2 * steps,
                stride: steps,
                dilation: 1,
                replicate: true,
            };
            Some(CausalConv::new(&weight, None, geometry, placement))
        } else {
            None
        };
        let speaker = weights.scope("flow_lm").floats("speaker_proj_weight")?;
        Ok(Self {
            seanet: Seanet::encoder(&scope.scope("encoder.model"), &mimi.seanet, placement)?,
            transformer: ProjectedTransformer::load(
                &scope.scope("encoder_transformer"),
                &mimi.transformer,
                placement,
            )?,
            downsample,
            speaker: Linear::new(
                &speaker,
                [config.flow_lm.transformer.d_model, mimi.encoder_dim()],
                None,
                placement,
            ),
            frame_samples: mimi.frame_samples(),
            placement: placement.clone(),
        })
    }

    /// Bytes of the prepared weights.
    pub(crate) fn bytes(&self) -> usize {
        self.seanet.bytes()
            + self.transformer.bytes()
            + self.downsample.as_ref().map_or(0, CausalConv::bytes)
            + self.speaker.bytes()
    }

    /// Encodes samples, after padding them with zeros to whole frames.
    ///
    /// # Shapes
    ///
    /// -> [1, frame, encoder width]
    pub(crate) fn encode(&self, samples: &[f32], memory: &StateMemory) -> Result<Tensor<3>> {
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
                let x = tensor_from(block, [1, padded, 1], self.placement.device());
                let x = self.seanet.forward(x, &mut seanet, &self.placement);
                let x = self
                    .transformer
                    .forward(x, &mut transformer, &self.placement);
                match &mut downsample {
                    Some((conv, state)) => {
                        conv.forward(x, state, Activation::Identity, &self.placement)
                    }
                    None => x,
                }
            })
            .collect();
        Ok(Tensor::cat(blocks, 1))
    }

    /// Encoded audio as FlowLM reads it.
    ///
    /// # Shapes
    ///
    /// `latents` [1, frame, encoder width] -> [1, frame, FlowLM's width]
    pub(crate) fn conditioning(&self, latents: Tensor<3>) -> Tensor<3> {
        self.speaker.forward(latents, Activation::Identity)
    }

    /// SEANet's features alone.
    #[cfg(test)]
    pub(crate) fn features(&self, samples: &[f32], memory: &StateMemory) -> Result<Tensor<3>> {
        let x = tensor_from(
            samples.to_vec(),
            [1, samples.len(), 1],
            self.placement.device(),
        );
        let mut state = self.seanet.state(1, memory)?;
        Ok(self.seanet.forward(x, &mut state, &self.placement))
    }
}
