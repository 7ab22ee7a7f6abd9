//! Mimi's decoder: latents to audio, frame by frame.

use tensor_pool::PooledTensor;

use super::seanet::{Seanet, SeanetState};
use super::transformer::{ProjectedTransformer, ProjectedTransformerState};
use crate::config::Config;
use crate::error::Result;
use crate::ops::{Activation, Backend, DepthwiseUpsample, Linear, tensor_from, vec_from};
use crate::state::StateMemory;
use crate::weights::{Loader, WeightsError};

/// The decoding half of Mimi.
#[derive(Debug)]
pub(crate) struct MimiDecoder {
    /// Reverses FlowLM's normalization of latents and projects them to the transformer's width.
    input: Linear,
    /// From frames to the transformer's positions; `None` if both have the same rate.
    upsample: Option<DepthwiseUpsample>,
    transformer: ProjectedTransformer,
    seanet: Seanet,
    latent: usize,
    /// Channels of the transformer's output.
    width: usize,
    backend: Backend,
}

/// The state of a batch of streams. Its size does not depend on the length of the streams.
#[derive(Debug)]
pub(crate) struct MimiDecoderState {
    batch: usize,
    upsample: Option<PooledTensor<3>>,
    transformer: ProjectedTransformerState,
    seanet: SeanetState,
}

impl MimiDecoder {
    /// Loads the decoding half of `mimi.…`, and FlowLM's statistics of latents.
    pub(crate) fn load(loader: &Loader<'_>, config: &Config) -> Result<Self, WeightsError> {
        let mimi = &config.mimi;
        let latent = mimi.latent_dim();
        let width = mimi.quantizer.output_dimension;
        let statistics = loader.scope("flow_lm");
        let mean = statistics.values("emb_mean", &[latent])?;
        let std = statistics.values("emb_std", &[latent])?;
        let loader = loader.scope("mimi");
        // W (std * x + mean) = (W diag(std)) x + W mean
        let input = loader.linear_with(
            "quantizer.output_proj.weight",
            &[width, latent, 1],
            [width, latent],
            |weights| {
                let bias = weights
                    .chunks_exact(latent)
                    .map(|row| row.iter().zip(&mean).map(|(w, mean)| w * mean).sum())
                    .collect();
                for row in weights.chunks_exact_mut(latent) {
                    row.iter_mut().zip(&std).for_each(|(w, std)| *w *= std);
                }
                Some(bias)
            },
        )?;
        let positions = mimi.steps_per_frame();
        let upsample = if positions > 1 {
            Some(loader.upsample("upsample.convtr.convtr", width, positions)?)
        } else {
            None
        };
        Ok(Self {
            input,
            upsample,
            transformer: ProjectedTransformer::load(
                &loader.scope("decoder_transformer"),
                mimi.decoder_transformer(),
            )?,
            seanet: Seanet::decoder(&loader.scope("decoder.model"), mimi.decoder_seanet())?,
            latent,
            width: mimi.decoder_seanet().dimension,
            backend: loader.backend().clone(),
        })
    }

    /// Elements of the state of one stream.
    pub(crate) fn state_elements(&self) -> usize {
        let upsample = self.upsample.as_ref();
        upsample.map_or(0, DepthwiseUpsample::state_elements)
            + self.transformer.state_elements()
            + self.seanet.state_elements()
    }

    /// Upper bound of elements that `decode` allocates at a time for `frames` frames, including the
    /// samples.
    pub(crate) fn scratch_elements(&self, frames: usize) -> usize {
        let upsample = self.upsample.as_ref();
        let positions = frames * upsample.map_or(1, DepthwiseUpsample::stride);
        self.transformer
            .scratch_elements(positions)
            .max(self.seanet.scratch_elements(positions, self.width))
    }

    /// The state of streams that have not started.
    ///
    /// # Errors
    ///
    /// The pool cannot lease the state.
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

    /// Decodes the next frames of a batch of streams, any number of frames per call.
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
        let latents = tensor_from(latents, [batch, frames, self.latent], self.backend.device());
        let x = self.input.forward(latents, Activation::Identity);
        let x = match (&self.upsample, &mut state.upsample) {
            (Some(upsample), Some(state)) => upsample.forward(x, state),
            _ => x,
        };
        let x = self
            .transformer
            .forward(x, &mut state.transformer, &self.backend);
        Ok(vec_from(self.seanet.forward(
            x,
            &mut state.seanet,
            &self.backend,
        ))?)
    }
}
