//! Latents to audio, frame by frame.

use tensor_pool::PooledTensor;

use super::seanet::{Seanet, SeanetState};
use super::transformer::{ProjectedTransformer, ProjectedTransformerState};
use crate::config::Config;
use crate::error::Result;
use crate::ops::{Activation, DepthwiseUpsample, Linear, Placement, tensor_from, vec_from};
use crate::state::StateMemory;
use crate::weights::Weights;

/// The decoding half of Mimi.
#[derive(Debug)]
pub(crate) struct MimiDecoder {
    /// Undoes FlowLM's normalisation of latents and widens them.
    input: Linear,
    /// From frames to the transformer's steps; none where both have one rate.
    upsample: Option<DepthwiseUpsample>,
    transformer: ProjectedTransformer,
    seanet: Seanet,
    latent: usize,
    /// Channels of the transformer's output.
    width: usize,
    placement: Placement,
}

/// What the decoder remembers of a batch of streams: as much after an hour as after a second.
#[derive(Debug)]
pub(crate) struct MimiDecoderState {
    batch: usize,
    upsample: Option<PooledTensor<3>>,
    transformer: ProjectedTransformerState,
    seanet: SeanetState,
}

impl MimiDecoder {
    /// Loads the decoding half of `mimi.…`, and FlowLM's statistics of latents.
    pub(crate) fn load(weights: &Weights, config: &Config, placement: &Placement) -> Result<Self> {
        let mimi = &config.mimi;
        let scope = weights.scope("mimi");
        let latent = mimi.latent_dim();
        let width = mimi.quantizer.output_dimension;
        let flow_lm = weights.scope("flow_lm");
        let (mean, std) = (flow_lm.floats("emb_mean")?, flow_lm.floats("emb_std")?);
        let projection = scope.floats("quantizer.output_proj.weight")?;
        // W (std * x + mean) = (W diag(std)) x + W mean
        let rows = projection.chunks_exact(latent);
        let bias: Vec<f32> = rows
            .clone()
            .map(|row| row.iter().zip(mean.iter()).map(|(w, mean)| w * mean).sum())
            .collect();
        let scaled: Vec<f32> = rows
            .flat_map(|row| row.iter().zip(std.iter()).map(|(w, std)| w * std))
            .collect();
        let steps = mimi.steps_per_frame();
        let upsample = if steps > 1 {
            let weight = scope.floats("upsample.convtr.convtr.weight")?;
            Some(DepthwiseUpsample::new(&weight, width, steps, placement))
        } else {
            None
        };
        Ok(Self {
            input: Linear::new(&scaled, [width, latent], Some(&bias), placement),
            upsample,
            transformer: ProjectedTransformer::load(
                &scope.scope("decoder_transformer"),
                mimi.decoder_transformer(),
                placement,
            )?,
            seanet: Seanet::decoder(
                &scope.scope("decoder.model"),
                mimi.decoder_seanet(),
                placement,
            )?,
            latent,
            width: mimi.decoder_seanet().dimension,
            placement: placement.clone(),
        })
    }

    /// Bytes of the prepared weights.
    pub(crate) fn bytes(&self) -> usize {
        self.input.bytes() + self.transformer.bytes() + self.seanet.bytes()
    }

    /// Numbers that the state of one stream holds.
    pub(crate) fn state_numbers(&self) -> usize {
        let upsample = self.upsample.as_ref();
        upsample.map_or(0, DepthwiseUpsample::state_numbers)
            + self.transformer.state_numbers()
            + self.seanet.state_numbers()
    }

    /// Numbers that decoding so many frames in one call holds at once, samples included.
    pub(crate) fn scratch_numbers(&self, frames: usize) -> usize {
        let upsample = self.upsample.as_ref();
        let steps = frames * upsample.map_or(1, DepthwiseUpsample::stride);
        self.transformer
            .scratch_numbers(steps)
            .max(self.seanet.scratch_numbers(steps, self.width))
    }

    /// The state of streams that have not begun.
    pub(crate) fn state(&self, batch: usize, memory: &StateMemory) -> Result<MimiDecoderState> {
        let upsample = self.upsample.as_ref();
        Ok(MimiDecoderState {
            batch,
            upsample: upsample
                .map(|upsample| upsample.state(batch, memory))
                .transpose()?,
            transformer: self.transformer.state(batch, memory)?,
            seanet: self.seanet.state(batch, memory)?,
        })
    }

    /// Decodes the next frames of a batch of streams, any number of frames a call.
    ///
    /// # Shapes
    ///
    /// `latents` [batch, frame, latent] -> [batch, frame * frame_samples]
    pub(crate) fn decode(
        &self,
        latents: Vec<f32>,
        state: &mut MimiDecoderState,
    ) -> Result<Vec<f32>> {
        let batch = state.batch;
        let frames = latents.len() / self.latent / batch;
        let latents = tensor_from(
            latents,
            [batch, frames, self.latent],
            self.placement.device(),
        );
        let x = self.input.forward(latents, Activation::Identity);
        let x = match (&self.upsample, &mut state.upsample) {
            (Some(upsample), Some(state)) => upsample.forward(x, state),
            _ => x,
        };
        let x = self
            .transformer
            .forward(x, &mut state.transformer, &self.placement);
        vec_from(self.seanet.forward(x, &mut state.seanet, &self.placement))
    }
}
