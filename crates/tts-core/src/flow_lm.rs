//! FlowLM: a causal transformer over a voice, a text and past latents, whose output conditions a flow
//! that samples the next latent (Continuous Audio Language Models, Rouard et al., 2025).

mod embedding;
mod flow_head;
mod state;

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::config::Config;
use crate::error::Result;
use crate::kv::{self, RingKv};
use crate::ops::{Activation, Backend, Heads, LayerNorm, Linear, tensor_from, vec_from};
use crate::state::StateMemory;
use crate::transformer::{Transformer, TransformerShape};
use crate::voice::VoiceKv;
use crate::weights::{Loader, WeightsError};
use embedding::TextEmbedding;
use flow_head::FlowHead;
pub(crate) use flow_head::TimeSchedule;
pub(crate) use state::FlowLmState;

/// Epsilon of the normalization before the heads (PyTorch's default).
const OUT_NORM_EPSILON: f32 = 1e-5;

/// Computes the next latent from a text and past latents.
#[derive(Debug)]
pub(crate) struct FlowLm {
    embedding: TextEmbedding,
    transformer: Transformer,
    input: Linear,
    out_norm: LayerNorm,
    z_proj: Option<Linear>,
    out_eos: Linear,
    flow_head: FlowHead,
    /// The latent before the first frame.
    bos: Vec<f32>,
    /// Precedes a voice prompt.
    bos_before_voice: Option<Vec<f32>>,
    /// Width of a latent.
    latent: usize,
    backend: Backend,
}

/// The output of the heads for one frame, on the host.
#[derive(Clone, Debug)]
pub(crate) struct FrameOutput {
    /// `[batch, latent]`
    pub(crate) latents: Vec<f32>,
    /// One end-of-speech logit per row.
    pub(crate) eos_logits: Vec<f32>,
}

impl FlowLm {
    /// Loads `flow_lm.…`, except what the decoder and the voice encoder load.
    pub(crate) fn load(loader: &Loader<'_>, config: &Config) -> Result<Self, WeightsError> {
        let loader = loader.scope("flow_lm");
        let flow_lm = &config.flow_lm;
        let sizes = &flow_lm.transformer;
        let (width, latent) = (sizes.d_model, config.mimi.latent_dim());
        let condition = flow_lm.output_width();
        let shape = TransformerShape {
            width,
            layers: sizes.num_layers,
            heads: Heads {
                heads: sizes.num_heads,
                kv_heads: sizes.kv_heads(),
                head_dim: sizes.head_dim(),
                context: None,
            },
            feed_forward: sizes.feed_forward_width(),
            max_period: sizes.max_period as f32,
            layer_scale: false,
        };
        let embedding = TextEmbedding::load(&loader.scope("conditioner"), &flow_lm.lookup_table)?;
        let bos = loader.values("bos_emb", &[latent])?;
        let bos_before_voice = if flow_lm.insert_bos_before_voice {
            Some(loader.values("bos_before_voice", &[1, 1, width])?)
        } else {
            None
        };
        let input = loader.linear("input_linear", [width, latent])?;
        let transformer = Transformer::load(&loader.scope("transformer"), shape)?;
        let out_norm = loader.layer_norm("out_norm", width, OUT_NORM_EPSILON)?;
        let z_proj = match flow_lm.z_dim {
            Some(z) => Some(loader.linear("z_proj", [z, width])?),
            None => None,
        };
        Ok(Self {
            embedding,
            bos,
            bos_before_voice,
            input,
            transformer,
            out_norm,
            z_proj,
            out_eos: loader.biased_linear("out_eos", [1, condition])?,
            flow_head: FlowHead::load(&loader.scope("flow_net"), config)?,
            latent,
            backend: loader.backend().clone(),
        })
    }

    /// Attention sizes; a voice must have the same.
    pub(crate) fn heads(&self) -> &Heads {
        &self.transformer.shape().heads
    }

    /// Number of layers; a voice must have the same.
    pub(crate) fn layers(&self) -> usize {
        self.transformer.shape().layers
    }

    /// Elements of one KV cache page, all layers.
    pub(crate) fn page_elements(&self) -> usize {
        self.layers() * 2 * kv::PAGE_POSITIONS * self.heads().kv_width()
    }

    /// Upper bound of elements allocated at a time by a pass over `rows` positions.
    pub(crate) fn scratch_elements(&self, rows: usize) -> usize {
        self.transformer.scratch_elements(rows) + rows * self.flow_head.scratch_elements()
    }

    /// Upper bound of elements allocated at a time while a slice of `frames` frames of a voice is
    /// prefilled: the slice, and a pass over it.
    pub(crate) fn voice_scratch_elements(&self, frames: usize) -> usize {
        frames * self.transformer.shape().width + self.transformer.scratch_elements(frames)
    }

    /// Embeds the flow's times for a number of solver steps.
    pub(crate) fn time_schedule(&self, solver_steps: usize) -> TimeSchedule {
        self.flow_head.time_schedule(solver_steps, &self.backend)
    }

    /// The state of a new sequence after `voice`.
    ///
    /// # Errors
    ///
    /// The pool cannot lease the state.
    pub(crate) fn state(&self, voice: Arc<VoiceKv>, memory: &StateMemory) -> Result<FlowLmState> {
        FlowLmState::new(voice, self.layers(), self.heads(), memory)
    }

    /// Embeds a text.
    ///
    /// # Shapes
    ///
    /// -> [1, token, width]
    ///
    /// # Errors
    ///
    /// A token is not in the embedding table.
    pub(crate) fn embed(&self, tokens: &[u32]) -> Result<Tensor<3>, WeightsError> {
        self.embedding.forward(tokens, &self.backend)
    }

    /// Prefills a new sequence with a text, in one pass. Returns the condition of the first frame,
    /// [1, 1, condition].
    pub(crate) fn prefill(&self, state: &mut FlowLmState, tokens: &[u32]) -> Result<Tensor<3>> {
        let bos = self.latent_input(&self.bos);
        let input = match tokens {
            [] => bos,
            tokens => Tensor::cat(vec![self.embed(tokens)?, bos], 1),
        };
        self.backbone(&mut [state], input)
    }

    /// Positions of the voice of so many frames.
    pub(crate) fn voice_positions(&self, frames: usize) -> usize {
        frames + usize::from(self.bos_before_voice.is_some())
    }

    /// Runs an encoded voice of `frames` frames through the model, slice by slice. Its keys and values are
    /// the voice. They do not depend on the slices.
    ///
    /// # Shapes
    ///
    /// each slice [1, frame, width]
    ///
    /// # Errors
    ///
    /// A slice is an error, or the pool cannot lease the keys and values.
    pub(crate) fn prefill_voice(
        &self,
        frames: usize,
        slices: impl Iterator<Item = Result<Tensor<3>>>,
        memory: &StateMemory,
    ) -> Result<VoiceKv> {
        let len = self.voice_positions(frames);
        // A window as long as the voice never wraps.
        let mut layers = (0..self.layers())
            .map(|_| RingKv::new(1, len, self.heads(), memory))
            .collect::<Result<Vec<_>, _>>()?;
        let width = self.transformer.shape().width;
        let bos = self.bos_before_voice.as_ref().map(|bos| {
            let bos = tensor_from(bos.clone(), [1, 1, width], self.backend.device());
            Ok(bos)
        });
        let mut position = 0;
        for slice in bos.into_iter().chain(slices) {
            let slice = slice?;
            let [_, time, _] = slice.dims();
            let rope = self.transformer.rope().table(&[position], time);
            self.transformer.forward(slice, |layer, qkv| {
                layers[layer].attend(qkv, self.heads(), &rope, &self.backend)
            });
            position += time;
        }
        debug_assert_eq!(position, len);
        Ok(VoiceKv {
            layers: layers.into_iter().map(RingKv::into_tensor).collect(),
            len,
        })
    }

    /// Advances each sequence by one frame. Returns the conditions of the next frames, [sequence, 1,
    /// condition].
    ///
    /// `latents` are those of the last frame, [sequence, latent].
    pub(crate) fn advance(
        &self,
        states: &mut [&mut FlowLmState],
        latents: &[f32],
    ) -> Result<Tensor<3>> {
        let input = self.latent_input(latents);
        self.backbone(states, input)
    }

    /// Samples latents from noise, given the condition of a frame.
    ///
    /// # Shapes
    ///
    /// `condition` [batch, 1, condition], `noise` [batch, latent]
    pub(crate) fn sample(
        &self,
        condition: Tensor<3>,
        noise: Vec<f32>,
        times: &TimeSchedule,
    ) -> Result<FrameOutput> {
        let [batch, _, _] = condition.dims();
        let latent = self.latent;
        let noise = tensor_from(noise, [batch, 1, latent], self.backend.device());
        let eos = self
            .out_eos
            .forward(condition.clone(), Activation::Identity);
        let latents = self
            .flow_head
            .sample(condition, noise, times, &self.backend);
        // One transfer from the device for both.
        let both = vec_from(Tensor::cat(vec![latents, eos], 2))?;
        let mut output = FrameOutput {
            latents: Vec::with_capacity(batch * latent),
            eos_logits: Vec::with_capacity(batch),
        };
        for row in both.chunks_exact(latent + 1) {
            output.latents.extend_from_slice(&row[..latent]);
            output.eos_logits.push(row[latent]);
        }
        Ok(output)
    }

    /// Width of a latent.
    pub(crate) fn latent_dim(&self) -> usize {
        self.latent
    }

    fn latent_input(&self, latents: &[f32]) -> Tensor<3> {
        let shape = [latents.len() / self.latent, 1, self.latent];
        let latents = tensor_from(latents.to_vec(), shape, self.backend.device());
        self.input.forward(latents, Activation::Identity)
    }

    fn backbone(&self, states: &mut [&mut FlowLmState], input: Tensor<3>) -> Result<Tensor<3>> {
        let output = self.run(states, input)?;
        let [batch, time, width] = output.dims();
        let last = output.slice([0..batch, time - 1..time, 0..width]);
        let normed = self.out_norm.forward(&last);
        Ok(match &self.z_proj {
            Some(z_proj) => z_proj.forward(normed, Activation::Identity),
            None => normed,
        })
    }

    /// Runs the next positions of each sequence through the transformer: `input` [sequence, time,
    /// width].
    fn run(&self, states: &mut [&mut FlowLmState], input: Tensor<3>) -> Result<Tensor<3>> {
        let [_, time, _] = input.dims();
        for state in &mut *states {
            state.reserve(time)?;
        }
        let positions: Vec<usize> = states.iter().map(|state| state.position()).collect();
        let rope = self.transformer.rope().table(&positions, time);
        Ok(self.transformer.forward(input, |layer, qkv| {
            let mut rows: Vec<_> = states.iter_mut().map(|state| state.row(layer)).collect();
            kv::attend(&mut rows, qkv, self.heads(), &rope, &self.backend)
        }))
    }
}
