//! The fields of a config, named as the keys of the YAML file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::text::TokenizerFormat;

/// The reference's default of `default_temperature`.
pub const DEFAULT_TEMPERATURE: f32 = 0.3;
/// The reference's default of `default_eos_threshold`.
pub const DEFAULT_EOS_THRESHOLD: f32 = -4.0;
/// The reference's default of `max_period` in Mimi's transformers.
pub const DEFAULT_MAX_PERIOD: f32 = 10_000.0;

/// Everything that defines a model, except its weights.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The language model: predicts the next latent from the text and past latents.
    pub flow_lm: FlowLmConfig,
    /// The codec: converts audio to latents and back.
    pub mimi: MimiConfig,
    /// Location of a file with the weights of both components; its tensor names start with
    /// `flow_lm.` and `mimi.`.
    pub weights_path: Option<String>,
    /// Location of the same weights without the voice encoder, for when `weights_path` is not
    /// available.
    pub weights_path_without_voice_cloning: Option<String>,
    /// Insert eight spaces before a text of fewer than five words.
    #[serde(default)]
    pub pad_with_spaces_for_short_inputs: bool,
    /// Replace `;` by `,`.
    #[serde(default)]
    pub remove_semicolons: bool,
    /// Append a full stop to a text that does not end in punctuation.
    #[serde(default = "enabled")]
    pub append_terminal_punctuation: bool,
    /// Capitalize the first letter of a text. Disabled for models that read phonemes.
    #[serde(default = "enabled")]
    pub capitalize_first_letter: bool,
    /// Replacements of characters, applied before all other rules; an empty string deletes the
    /// character.
    #[serde(default)]
    pub replace_characters: BTreeMap<char, String>,
    /// Frames to generate after the end of speech was detected; estimated from the text when `None`.
    pub model_recommended_frames_after_eos: Option<usize>,
    /// Default variance of the sampler's noise.
    #[serde(default = "default_temperature")]
    pub default_temperature: f32,
    /// Default threshold of the end-of-speech logit: speech ends at the first frame above it.
    #[serde(default = "default_eos_threshold")]
    pub default_eos_threshold: f32,
}

/// The language model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowLmConfig {
    /// Number format in which the reference computes.
    pub dtype: Dtype,
    /// The flow head, which turns noise into a latent.
    pub flow: FlowConfig,
    /// The backbone.
    pub transformer: FlowLmTransformerConfig,
    /// Width of a bias-free projection after the backbone; no projection when `None`.
    pub z_dim: Option<usize>,
    /// The text embedding.
    pub lookup_table: LookupTableConfig,
    /// Location of this component's weights; set together with [`MimiConfig::weights_path`].
    pub weights_path: Option<String>,
    /// Insert a learned vector before the voice prompt.
    #[serde(default)]
    pub insert_bos_before_voice: bool,
}

fn enabled() -> bool {
    true
}

fn default_temperature() -> f32 {
    DEFAULT_TEMPERATURE
}

fn default_eos_threshold() -> f32 {
    DEFAULT_EOS_THRESHOLD
}

fn default_max_period() -> f32 {
    DEFAULT_MAX_PERIOD
}

impl FlowLmConfig {
    /// Returns the input width of the flow head and the end-of-speech head.
    pub fn output_width(&self) -> usize {
        self.z_dim.unwrap_or(self.transformer.d_model)
    }
}

/// Number format in which the reference computes.
///
/// It is independent of the weights file, whose tensors may be f32, f16 or bf16. The reference accepts
/// other formats when it builds a model, but generates audio only in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Dtype {
    /// `float32`.
    Float32,
}

/// The flow head: a multi-layer perceptron with adaptive layer norms.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowConfig {
    /// Width of its hidden layers.
    pub dim: usize,
    /// Number of residual blocks.
    pub depth: usize,
    /// How the head's output becomes a latent; the YAML key is `type`.
    #[serde(rename = "type", default)]
    pub kind: FlowType,
}

/// How the flow head's output becomes a latent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowType {
    /// Lagrangian self-distillation (<https://arxiv.org/abs/2505.18825>): the head is conditioned on
    /// the start and end time of a solver step, and one solver step is enough.
    #[default]
    Lsd,
    /// Flow matching (<https://arxiv.org/abs/2210.02747>): Euler steps; the head is conditioned
    /// on one time.
    FlowMatching,
    /// The head's output is the latent.
    Drifting,
    /// The noise plus the head's output is the latent.
    Pointwise,
}

impl FlowType {
    /// Returns the number of times that condition the head; each has its own embedder.
    pub const fn number_of_times(self) -> usize {
        match self {
            Self::Lsd => 2,
            Self::FlowMatching => 1,
            Self::Drifting | Self::Pointwise => 0,
        }
    }
}

/// The language model's backbone: a causal transformer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowLmTransformerConfig {
    /// Feed-forward width as a multiple of `d_model`, used when `dim_feedforward` is `None`.
    pub hidden_scale: usize,
    /// Longest period of the rotary position embedding, in positions.
    pub max_period: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of query heads.
    pub num_heads: usize,
    /// Number of layers.
    pub num_layers: usize,
    /// Total width of the query heads; `d_model` when `None`.
    pub attn_dim: Option<usize>,
    /// Number of key and value heads, each shared by the same number of query heads; `num_heads` when
    /// `None`.
    pub num_kv_heads: Option<usize>,
    /// Width of the feed-forward layers; `d_model * hidden_scale` when `None`.
    pub dim_feedforward: Option<usize>,
}

impl FlowLmTransformerConfig {
    /// Returns the total width of the query heads.
    pub fn attention_width(&self) -> usize {
        self.attn_dim.unwrap_or(self.d_model)
    }

    /// Returns the number of key and value heads.
    pub fn kv_heads(&self) -> usize {
        self.num_kv_heads.unwrap_or(self.num_heads)
    }

    /// Returns the width of one head.
    pub fn head_dim(&self) -> usize {
        self.attention_width() / self.num_heads
    }

    /// Returns the width of the feed-forward layers.
    pub fn feed_forward_width(&self) -> usize {
        self.dim_feedforward
            .unwrap_or(self.d_model * self.hidden_scale)
    }
}

/// The text embedding and its tokenizer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupTableConfig {
    /// Width of a token's embedding; equal to the backbone's `d_model`.
    pub dim: usize,
    /// Size of the vocabulary; the table has one extra row for padding.
    pub n_bins: usize,
    /// File format of the tokenizer.
    pub tokenizer: TokenizerFormat,
    /// Location of the tokenizer.
    pub tokenizer_path: String,
    /// Width of the table's rows before a projection to `dim`; no projection when `None`.
    pub rank: Option<usize>,
}

/// The codec. Encoder and decoder have the same sizes unless `decoder_seanet` or
/// `decoder_transformer` is set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MimiConfig {
    /// Number format in which the reference computes.
    pub dtype: Dtype,
    /// Samples per second.
    pub sample_rate: usize,
    /// Number of audio channels; always 1.
    pub channels: usize,
    /// Latents per second.
    pub frame_rate: f64,
    /// The encoder's convolutions, and the decoder's when `decoder_seanet` is `None`.
    pub seanet: SeanetConfig,
    /// The encoder's transformer, and the decoder's when `decoder_transformer` is `None`.
    pub transformer: MimiTransformerConfig,
    /// The projection from latents to the decoder.
    pub quantizer: QuantizerConfig,
    /// Location of this component's weights, which replace those in [`Config::weights_path`].
    pub weights_path: Option<String>,
    /// Width of the encoder's output; `seanet.dimension` when `None`.
    pub inner_dim: Option<usize>,
    /// Width of the decoder's input; the decoder's `dimension` when `None`.
    pub outer_dim: Option<usize>,
    /// The decoder's convolutions, if they differ from the encoder's.
    pub decoder_seanet: Option<SeanetConfig>,
    /// The decoder's transformer, if it differs from the encoder's.
    pub decoder_transformer: Option<MimiTransformerConfig>,
}

impl MimiConfig {
    /// Returns the number of samples in one frame.
    pub fn frame_samples(&self) -> usize {
        (self.sample_rate as f64 / self.frame_rate).round() as usize
    }

    /// Returns the number of positions of one frame in the encoder's and decoder's transformers.
    pub fn steps_per_frame(&self) -> usize {
        self.frame_samples() / self.seanet.hop_length()
    }

    /// Returns the decoder's convolutions.
    pub fn decoder_seanet(&self) -> &SeanetConfig {
        self.decoder_seanet.as_ref().unwrap_or(&self.seanet)
    }

    /// Returns the decoder's transformer.
    pub fn decoder_transformer(&self) -> &MimiTransformerConfig {
        self.decoder_transformer
            .as_ref()
            .unwrap_or(&self.transformer)
    }

    /// Returns the width of the language model's latents.
    pub fn latent_dim(&self) -> usize {
        self.quantizer.dimension
    }

    /// Returns the width of the encoder's output. In old models it differs from [`Self::latent_dim`].
    pub fn encoder_dim(&self) -> usize {
        self.inner_dim.unwrap_or(self.seanet.dimension)
    }

    /// Returns the width of the decoder's input, the projected latents.
    pub fn decoder_dim(&self) -> usize {
        self.outer_dim.unwrap_or(self.decoder_seanet().dimension)
    }
}

/// SEANet (<https://arxiv.org/abs/2009.02095>): strided convolutions between audio and features.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeanetConfig {
    /// Width of the features.
    pub dimension: usize,
    /// Number of audio channels; always 1.
    pub channels: usize,
    /// Number of filters next to the audio; each ratio doubles it.
    pub n_filters: usize,
    /// Number of residual blocks per ratio.
    pub n_residual_layers: usize,
    /// Upsampling factors from the features to the audio; the encoder applies them in reverse.
    pub ratios: Vec<usize>,
    /// Kernel size of the first convolution.
    pub kernel_size: usize,
    /// Kernel size in the residual blocks.
    pub residual_kernel_size: usize,
    /// Kernel size of the last convolution.
    pub last_kernel_size: usize,
    /// Base of the dilation: residual block `i` is dilated by this number to the power of `i`.
    pub dilation_base: usize,
    /// Padding before the first sample.
    pub pad_mode: PadMode,
    /// Factor by which the residual blocks narrow their hidden layer.
    pub compress: usize,
}

impl SeanetConfig {
    /// Returns the number of samples per feature.
    pub fn hop_length(&self) -> usize {
        self.ratios.iter().product()
    }
}

/// Padding of a causal convolution before the first sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PadMode {
    /// Zeros.
    Constant,
    /// The first sample, repeated.
    Replicate,
}

/// One of the codec's transformers, in which each position attends to `context` positions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MimiTransformerConfig {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of the input, projected if it differs from `d_model`.
    pub input_dimension: usize,
    /// Width of the output, projected if it differs from `d_model`; a list of one number.
    pub output_dimensions: Vec<usize>,
    /// Number of heads.
    pub num_heads: usize,
    /// Number of layers.
    pub num_layers: usize,
    /// Initial value of the layer scales in training; the weights contain the trained values.
    pub layer_scale: f32,
    /// Number of positions to which a position attends, including itself.
    pub context: usize,
    /// Longest period of the rotary position embedding, in positions.
    #[serde(default = "default_max_period")]
    pub max_period: f32,
    /// Width of the feed-forward layers.
    pub dim_feedforward: usize,
}

impl MimiTransformerConfig {
    /// Returns the width of one head.
    pub fn head_dim(&self) -> usize {
        self.d_model / self.num_heads
    }
}

/// The projection from the latents to the decoder. Nothing is quantized: latents are continuous.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantizerConfig {
    /// Width of the latents.
    pub dimension: usize,
    /// Width of the projection's output.
    pub output_dimension: usize,
}
