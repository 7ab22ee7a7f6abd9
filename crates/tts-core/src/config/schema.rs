//! What a config holds. Fields are named as the keys of the YAML file.

use std::collections::BTreeMap;

use crate::text::TokenizerFormat;

/// All that defines a model besides its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The language model: text and past latents to the next latent.
    pub flow_lm: FlowLmConfig,
    /// The codec: audio to latents and back.
    pub mimi: MimiConfig,
    /// Weights of both parts in one file; its tensor names start with `flow_lm.` and `mimi.`.
    pub weights_path: Option<String>,
    /// Used when `weights_path` cannot be had: the same model without its voice encoder.
    pub weights_path_without_voice_cloning: Option<String>,
    /// Put eight spaces before a text of fewer than five words.
    pub pad_with_spaces_for_short_inputs: bool,
    /// Write `;` as `,`.
    pub remove_semicolons: bool,
    /// End a text that ends with no punctuation with a full stop.
    pub append_terminal_punctuation: bool,
    /// Write the first letter of a text as a capital. Off for models that read phonemes.
    pub capitalize_first_letter: bool,
    /// What each of these characters is written as before anything else; an empty text removes it.
    pub replace_characters: BTreeMap<char, String>,
    /// Frames to speak after the end of speech was seen; guessed from the text when `None`.
    pub model_recommended_frames_after_eos: Option<usize>,
    /// Variance of the sampler's noise when the caller names none.
    pub default_temperature: f32,
    /// Speech ends at the frame whose end-of-speech logit exceeds this, when the caller names none.
    pub default_eos_threshold: f32,
}

/// The language model.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowLmConfig {
    /// Number format the reference computes in.
    pub dtype: Dtype,
    /// The head that turns noise into a latent.
    pub flow: FlowConfig,
    /// The backbone.
    pub transformer: FlowLmTransformerConfig,
    /// Width of a bias-free projection after the backbone; none when `None`.
    pub z_dim: Option<usize>,
    /// The text embedding.
    pub lookup_table: LookupTableConfig,
    /// Weights of this part alone; given together with [`MimiConfig::weights_path`].
    pub weights_path: Option<String>,
    /// Put a learned vector before the voice prompt.
    pub insert_bos_before_voice: bool,
}

impl FlowLmConfig {
    /// Width of what the flow head and the end-of-speech head see.
    pub fn output_width(&self) -> usize {
        self.z_dim.unwrap_or(self.transformer.d_model)
    }
}

/// Number format a config asks the reference to compute in.
///
/// It says nothing about the weight file, whose tensors may be f32, f16 or bf16 each. The reference
/// builds a model for other names too, but can only speak with this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// `float32`.
    Float32,
}

/// The flow head: a multi-layer perceptron with adaptive layer norms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowConfig {
    /// Width of its hidden layers.
    pub dim: usize,
    /// Number of residual blocks.
    pub depth: usize,
    /// How its output makes a latent; the YAML key is `type`.
    pub kind: FlowType,
}

/// How the flow head's output makes a latent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum FlowType {
    /// Lagrangian self-distillation (<https://arxiv.org/abs/2505.18825>): the head sees where a step
    /// starts and ends, one step is enough.
    #[default]
    Lsd,
    /// Flow matching (<https://arxiv.org/abs/2210.02747>): Euler steps, the head sees one time.
    FlowMatching,
    /// The head's output is the latent.
    Drifting,
    /// The noise plus the head's output is the latent.
    Pointwise,
}

impl FlowType {
    /// How many times the head is conditioned on, each with an embedder of its own.
    pub const fn number_of_times(self) -> usize {
        match self {
            Self::Lsd => 2,
            Self::FlowMatching => 1,
            Self::Drifting | Self::Pointwise => 0,
        }
    }
}

/// The language model's backbone: a causal transformer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowLmTransformerConfig {
    /// Feed-forward width as a multiple of `d_model`, where `dim_feedforward` is not given.
    pub hidden_scale: usize,
    /// Longest period of the rotary position embedding, in positions.
    pub max_period: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of query heads.
    pub num_heads: usize,
    /// Number of layers.
    pub num_layers: usize,
    /// Width of all query heads together; `d_model` when `None`.
    pub attn_dim: Option<usize>,
    /// Number of key and value heads, each shared by equally many query heads; `num_heads` when `None`.
    pub num_kv_heads: Option<usize>,
    /// Width of the feed-forward layers; `d_model * hidden_scale` when `None`.
    pub dim_feedforward: Option<usize>,
}

impl FlowLmTransformerConfig {
    /// Width of all query heads together.
    pub fn attention_width(&self) -> usize {
        self.attn_dim.unwrap_or(self.d_model)
    }

    /// Number of key and value heads.
    pub fn kv_heads(&self) -> usize {
        self.num_kv_heads.unwrap_or(self.num_heads)
    }

    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.attention_width() / self.num_heads
    }

    /// Width of the feed-forward layers.
    pub fn feed_forward_width(&self) -> usize {
        self.dim_feedforward
            .unwrap_or(self.d_model * self.hidden_scale)
    }
}

/// The text embedding and its tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupTableConfig {
    /// Width of an embedded token; the backbone's `d_model`.
    pub dim: usize,
    /// Size of the vocabulary; the table has one row more, for padding.
    pub n_bins: usize,
    /// File format of the tokenizer.
    pub tokenizer: TokenizerFormat,
    /// The tokenizer.
    pub tokenizer_path: String,
    /// Width of the table's rows where they are then projected to `dim`; not projected when `None`.
    pub rank: Option<usize>,
}

/// The codec. Encoder and decoder are alike unless `decoder_seanet` or `decoder_transformer` is given.
#[derive(Clone, Debug, PartialEq)]
pub struct MimiConfig {
    /// Number format the reference computes in.
    pub dtype: Dtype,
    /// Samples a second.
    pub sample_rate: usize,
    /// Audio channels; 1.
    pub channels: usize,
    /// Latents a second.
    pub frame_rate: f64,
    /// The encoder's convolutions, and the decoder's where `decoder_seanet` is `None`.
    pub seanet: SeanetConfig,
    /// The encoder's transformer, and the decoder's where `decoder_transformer` is `None`.
    pub transformer: MimiTransformerConfig,
    /// The projection of latents to the decoder.
    pub quantizer: QuantizerConfig,
    /// Weights of this part alone; they replace the ones in [`Config::weights_path`].
    pub weights_path: Option<String>,
    /// Width of the encoder's output; `seanet.dimension` when `None`.
    pub inner_dim: Option<usize>,
    /// Width of the decoder's input; the decoder's `dimension` when `None`.
    pub outer_dim: Option<usize>,
    /// The decoder's convolutions, where they differ from the encoder's.
    pub decoder_seanet: Option<SeanetConfig>,
    /// The decoder's transformer, where it differs from the encoder's.
    pub decoder_transformer: Option<MimiTransformerConfig>,
}

impl MimiConfig {
    /// Samples of one frame.
    pub fn frame_samples(&self) -> usize {
        (self.sample_rate as f64 / self.frame_rate).round() as usize
    }

    /// Steps that the encoder's and decoder's transformers take for one frame.
    pub fn steps_per_frame(&self) -> usize {
        self.frame_samples() / self.seanet.hop_length()
    }

    /// The decoder's convolutions.
    pub fn decoder_seanet(&self) -> &SeanetConfig {
        self.decoder_seanet.as_ref().unwrap_or(&self.seanet)
    }

    /// The decoder's transformer.
    pub fn decoder_transformer(&self) -> &MimiTransformerConfig {
        self.decoder_transformer
            .as_ref()
            .unwrap_or(&self.transformer)
    }

    /// Width of the latents that the language model speaks in.
    pub fn latent_dim(&self) -> usize {
        self.quantizer.dimension
    }

    /// Width of what the encoder makes of a voice. In old models it differs from [`Self::latent_dim`].
    pub fn encoder_dim(&self) -> usize {
        self.inner_dim.unwrap_or(self.seanet.dimension)
    }

    /// Width of what the decoder is given: the projected latents.
    pub fn decoder_dim(&self) -> usize {
        self.outer_dim.unwrap_or(self.decoder_seanet().dimension)
    }
}

/// SEANet (<https://arxiv.org/abs/2009.02095>): strided convolutions between audio and features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeanetConfig {
    /// Width of the features.
    pub dimension: usize,
    /// Audio channels; 1.
    pub channels: usize,
    /// Filters next to the audio; each ratio doubles them.
    pub n_filters: usize,
    /// Residual blocks for each ratio.
    pub n_residual_layers: usize,
    /// Upsampling factors from the features to the audio; the encoder goes through them backwards.
    pub ratios: Vec<usize>,
    /// Kernel size of the first convolution.
    pub kernel_size: usize,
    /// Kernel size in the residual blocks.
    pub residual_kernel_size: usize,
    /// Kernel size of the last convolution.
    pub last_kernel_size: usize,
    /// Residual block `i` is dilated by this to the power of `i`.
    pub dilation_base: usize,
    /// What stands before the first sample.
    pub pad_mode: PadMode,
    /// By how much the residual blocks narrow their hidden layer.
    pub compress: usize,
}

impl SeanetConfig {
    /// Samples for one feature step.
    pub fn hop_length(&self) -> usize {
        self.ratios.iter().product()
    }
}

/// What a causal convolution sees before the first sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PadMode {
    /// Zeros.
    Constant,
    /// The first sample, repeated.
    Replicate,
}

/// One of the codec's transformers, each step of which sees `context` steps.
#[derive(Clone, Debug, PartialEq)]
pub struct MimiTransformerConfig {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of the input, projected where it differs from `d_model`.
    pub input_dimension: usize,
    /// Width of the output, projected where it differs from `d_model`; a list of one.
    pub output_dimensions: Vec<usize>,
    /// Number of heads.
    pub num_heads: usize,
    /// Number of layers.
    pub num_layers: usize,
    /// What the learned scales of the layers start training from; the weights hold their values.
    pub layer_scale: f32,
    /// How many steps a step sees, itself included.
    pub context: usize,
    /// Longest period of the rotary position embedding, in steps.
    pub max_period: f32,
    /// Width of the feed-forward layers.
    pub dim_feedforward: usize,
}

impl MimiTransformerConfig {
    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.d_model / self.num_heads
    }
}

/// The projection between the latents and the decoder. Nothing is quantized: latents are continuous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizerConfig {
    /// Width of the latents.
    pub dimension: usize,
    /// Width they are projected to.
    pub output_dimension: usize,
}
