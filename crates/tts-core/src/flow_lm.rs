//! FlowLM: a causal transformer over a voice, a text and past latents, whose output conditions a
//! flow that draws the next latent (Continuous Audio Language Models, Rouard et al., 2025).

mod embedding;
mod flow_head;
mod state;

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::config::Config;
use crate::error::Result;
use crate::kv;
use crate::ops::{Activation, Heads, LayerNorm, Linear, Placement, tensor_from, vec_from};
use crate::state::StateMemory;
use crate::transformer::{Transformer, TransformerShape};
use crate::voice::VoiceKv;
use crate::weights::Weights;
use embedding::TextEmbedding;
use flow_head::FlowHead;
pub(crate) use flow_head::TimeSchedule;
pub(crate) use state::FlowLmState;

/// Epsilon of the norm before the heads, PyTorch's default.
const OUT_NORM_EPSILON: f32 = 1e-5;

/// Text and past latents to the next latent.
#[derive(Debug)]
pub(crate) struct FlowLm {
    embedding: TextEmbedding,
    transformer: Transformer,
    input: Linear,
    out_norm: LayerNorm,
    z_proj: Option<Linear>,
    out_eos: Linear,
    flow_head: FlowHead,
    /// Stands for the latent before the first frame.
    bos: Vec<f32>,
    /// Stands before a voice prompt.
    bos_before_voice: Option<Vec<f32>>,
    placement: Placement,
}

/// What the heads made of one frame, on the host.
#[derive(Clone, Debug)]
pub(crate) struct FrameOutput {
    /// `[batch, latent]`
    pub(crate) latents: Vec<f32>,
    /// One end-of-speech logit per row.
    pub(crate) eos_logits: Vec<f32>,
}

impl FlowLm {
    /// Loads `flow_lm.…`.
    pub(crate) fn load(weights: &Weights, config: &Config, placement: &Placement) -> Result<Self> {
        let scope = weights.scope("flow_lm");
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
        let z_proj = match flow_lm.z_dim {
            Some(z) => Some(Linear::new(
                &scope.floats("z_proj.weight")?,
                [z, width],
                None,
                placement,
            )),
            None => None,
        };
        let bos_before_voice = if flow_lm.insert_bos_before_voice {
            Some(scope.floats("bos_before_voice")?.to_vec())
        } else {
            None
        };
        Ok(Self {
            embedding: TextEmbedding::load(
                &scope.scope("conditioner"),
                &flow_lm.lookup_table,
                placement,
            )?,
            transformer: Transformer::load(&scope.scope("transformer"), shape, placement)?,
            input: Linear::new(
                &scope.floats("input_linear.weight")?,
                [width, latent],
                None,
                placement,
            ),
            out_norm: LayerNorm::new(
                &scope.floats("out_norm.weight")?,
                &scope.floats("out_norm.bias")?,
                OUT_NORM_EPSILON,
                placement,
            ),
            z_proj,
            out_eos: Linear::new(
                &scope.floats("out_eos.weight")?,
                [1, condition],
                Some(&scope.floats("out_eos.bias")?),
                placement,
            ),
            flow_head: FlowHead::load(&scope.scope("flow_net"), config, placement)?,
            bos: scope.floats("bos_emb")?.to_vec(),
            bos_before_voice,
            placement: placement.clone(),
        })
    }

    /// Bytes of the prepared weights.
    pub(crate) fn bytes(&self) -> usize {
        let linears = [&self.input, &self.out_eos];
        self.transformer.bytes()
            + self.flow_head.bytes()
            + self.embedding.bytes()
            + linears
                .into_iter()
                .chain(&self.z_proj)
                .map(Linear::bytes)
                .sum::<usize>()
    }

    /// Attention sizes, which a voice must share.
    pub(crate) fn heads(&self) -> &Heads {
        &self.transformer.shape().heads
    }

    /// Number of layers, which a voice must share.
    pub(crate) fn layers(&self) -> usize {
        self.transformer.shape().layers
    }

    /// Numbers of one page of keys and values, all layers.
    pub(crate) fn page_numbers(&self) -> usize {
        self.layers() * 2 * kv::PAGE_STEPS * self.heads().kv_width()
    }

    /// Numbers that a pass over so many rows holds at once.
    pub(crate) fn scratch_numbers(&self, rows: usize) -> usize {
        // Between the backbone and the latent the flow head holds a few vectors of its width.
        self.transformer.scratch_numbers(rows) + rows * self.flow_head.scratch_numbers()
    }

    /// The flow's times for a number of sampler steps, embedded once per stream.
    pub(crate) fn time_schedule(&self, steps: usize) -> Result<TimeSchedule> {
        self.flow_head.time_schedule(steps, &self.placement)
    }

    /// A fresh state that speaks with `voice`.
    pub(crate) fn state(&self, voice: Arc<VoiceKv>, memory: &StateMemory) -> Result<FlowLmState> {
        FlowLmState::new(voice, self.layers(), self.heads(), memory)
    }

    /// Embeds a text.
    ///
    /// # Shapes
    ///
    /// -> [1, token, width]
    pub(crate) fn embed(&self, tokens: &[u32]) -> Result<Tensor<3>> {
        self.embedding.forward(tokens, &self.placement)
    }

    /// Reads a text and starts its speech, in one pass. The state must be fresh. Returns what the
    /// heads see of the first frame, [1, 1, condition].
    pub(crate) fn prompt(&self, state: &mut FlowLmState, tokens: &[u32]) -> Result<Tensor<3>> {
        let bos = self.latent_input(&self.bos);
        let input = match tokens {
            [] => bos,
            tokens => Tensor::cat(vec![self.embed(tokens)?, bos], 1),
        };
        self.backbone(&mut [state], input)
    }

    /// Reads an encoded voice into the state. Its keys and values are then a voice.
    ///
    /// # Shapes
    ///
    /// `conditioning` [1, frame, width]
    pub(crate) fn prompt_voice(
        &self,
        state: &mut FlowLmState,
        conditioning: Tensor<3>,
    ) -> Result<()> {
        let [_, _, width] = conditioning.dims();
        let prompt = match &self.bos_before_voice {
            Some(bos) => {
                let bos = tensor_from(bos.clone(), [1, 1, width], self.placement.device());
                Tensor::cat(vec![bos, conditioning], 1)
            }
            None => conditioning,
        };
        self.run(&mut [state], prompt)?;
        Ok(())
    }

    /// The next frame's backbone output of each sequence, [sequence, 1, condition].
    ///
    /// `latents` is what the last frame drew, [sequence, latent].
    pub(crate) fn step(
        &self,
        states: &mut [&mut FlowLmState],
        latents: &[f32],
    ) -> Result<Tensor<3>> {
        let input = self.latent_input(latents);
        self.backbone(states, input)
    }

    /// Draws latents from noise, given the backbone's output.
    ///
    /// # Shapes
    ///
    /// `condition` [batch, 1, condition], `noise` [batch, latent]
    pub(crate) fn draw(
        &self,
        condition: Tensor<3>,
        noise: Vec<f32>,
        times: &TimeSchedule,
    ) -> Result<FrameOutput> {
        let [batch, _, _] = condition.dims();
        let latent = self.bos.len();
        let noise = tensor_from(noise, [batch, 1, latent], self.placement.device());
        let eos = self
            .out_eos
            .forward(condition.clone(), Activation::Identity);
        let latents = self
            .flow_head
            .draw(condition, noise, times, &self.placement);
        // One transfer from the device brings both.
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
        self.bos.len()
    }

    fn latent_input(&self, latents: &[f32]) -> Tensor<3> {
        let latent = self.bos.len();
        let shape = [latents.len() / latent, 1, latent];
        let latents = tensor_from(latents.to_vec(), shape, self.placement.device());
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

    /// Runs the next steps of some sequences, as many of each: `input` [sequence, time, width].
    fn run(&self, states: &mut [&mut FlowLmState], input: Tensor<3>) -> Result<Tensor<3>> {
        let [_, time, _] = input.dims();
        for state in &mut *states {
            state.reserve(time)?;
        }
        let positions: Vec<usize> = states.iter().map(|state| state.position()).collect();
        let rope = self.transformer.rope().table(&positions, time);
        Ok(self.transformer.forward(input, |layer, qkv| {
            let mut rows: Vec<_> = states.iter_mut().map(|state| state.row(layer)).collect();
            kv::attend(&mut rows, qkv, self.heads(), &rope, &self.placement)
        }))
    }
}
