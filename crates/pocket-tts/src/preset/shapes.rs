//! Layer sizes of the released models.

use tts_core::config::{
    DEFAULT_MAX_PERIOD, Dtype, FlowConfig, FlowLmTransformerConfig, FlowType, MimiConfig,
    MimiTransformerConfig, PadMode, QuantizerConfig, SeanetConfig,
};
use tts_core::text::TokenizerFormat;

/// A family of released models with the same sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The first model: as [`Self::Base`], with an encoder as wide as its convolutions and without
    /// the learned vector before the voice prompt.
    First,
    /// 6 layers, 110 M parameters.
    Base,
    /// As [`Self::Base`], with 24 layers.
    Large,
    /// As [`Self::Base`], with another kind of flow head.
    Drifting,
    /// 18 M parameters.
    English18M,
    /// 7 M parameters.
    English7M,
    /// 2 M parameters.
    English2M,
}

impl Shape {
    /// Whether this is one of the small models, whose decoder differs from the encoder.
    const fn is_small(self) -> bool {
        matches!(self, Self::English18M | Self::English7M | Self::English2M)
    }

    pub(super) fn tokenizer(self) -> TokenizerFormat {
        if self.is_small() {
            TokenizerFormat::SentencePiece
        } else {
            TokenizerFormat::Tokenizers
        }
    }

    pub(super) fn z_dim(self) -> Option<usize> {
        self.is_small().then_some(64)
    }

    /// Returns the threshold if it differs from the reference's default.
    pub(super) fn eos_threshold(self) -> Option<f32> {
        self.is_small().then_some(-1.0)
    }

    pub(super) fn rank(self) -> Option<usize> {
        match self {
            Self::English7M => Some(64),
            Self::English2M => Some(32),
            _ => None,
        }
    }

    pub(super) fn flow(self) -> FlowConfig {
        let (dim, depth, kind) = match self {
            Self::First | Self::Base | Self::Large => (512, 6, FlowType::Lsd),
            Self::Drifting => (512, 6, FlowType::Drifting),
            Self::English18M | Self::English7M => (192, 4, FlowType::Drifting),
            Self::English2M => (64, 4, FlowType::Pointwise),
        };
        FlowConfig { dim, depth, kind }
    }

    pub(super) fn flow_lm_transformer(self) -> FlowLmTransformerConfig {
        let base = FlowLmTransformerConfig {
            hidden_scale: 4,
            max_period: 10_000,
            d_model: 1024,
            num_heads: 16,
            num_layers: 6,
            attn_dim: None,
            num_kv_heads: None,
            dim_feedforward: None,
        };
        let small = FlowLmTransformerConfig {
            hidden_scale: 1,
            num_heads: 8,
            num_layers: 8,
            ..base.clone()
        };
        match self {
            Self::First | Self::Base | Self::Drifting => base,
            Self::Large => FlowLmTransformerConfig {
                num_layers: 24,
                ..base
            },
            Self::English18M => FlowLmTransformerConfig {
                d_model: 512,
                ..small
            },
            Self::English7M => FlowLmTransformerConfig {
                d_model: 224,
                attn_dim: Some(512),
                num_kv_heads: Some(2),
                ..small
            },
            Self::English2M => FlowLmTransformerConfig {
                d_model: 112,
                num_heads: 3,
                attn_dim: Some(192),
                num_kv_heads: Some(1),
                dim_feedforward: Some(96),
                ..small
            },
        }
    }

    pub(super) fn mimi(self) -> MimiConfig {
        let seanet = SeanetConfig {
            dimension: 512,
            channels: 1,
            n_filters: 64,
            n_residual_layers: 1,
            ratios: vec![6, 5, 4],
            kernel_size: 7,
            residual_kernel_size: 3,
            last_kernel_size: 3,
            dilation_base: 2,
            pad_mode: PadMode::Constant,
            compress: 2,
        };
        let transformer = MimiTransformerConfig {
            d_model: 512,
            input_dimension: 512,
            output_dimensions: vec![512],
            num_heads: 8,
            num_layers: 2,
            layer_scale: 0.01,
            context: 250,
            max_period: DEFAULT_MAX_PERIOD,
            dim_feedforward: 2048,
        };
        // Filters and layers of the small models' decoders.
        let decoder = match self {
            Self::First | Self::Base | Self::Large | Self::Drifting => None,
            Self::English18M | Self::English7M => Some((32, 12)),
            Self::English2M => Some((24, 4)),
        };
        let width = if decoder.is_some() { 128 } else { 512 };
        MimiConfig {
            dtype: Dtype::Float32,
            sample_rate: 24_000,
            channels: 1,
            frame_rate: 12.5,
            quantizer: QuantizerConfig {
                dimension: 32,
                output_dimension: width,
            },
            weights_path: None,
            inner_dim: Some(if self == Self::First { 512 } else { 32 }),
            outer_dim: Some(width),
            decoder_seanet: decoder.map(|(n_filters, _)| SeanetConfig {
                dimension: width,
                n_filters,
                kernel_size: 3,
                ..seanet.clone()
            }),
            decoder_transformer: decoder.map(|(_, num_layers)| MimiTransformerConfig {
                d_model: width,
                input_dimension: width,
                output_dimensions: vec![width],
                num_heads: 4,
                num_layers,
                context: 50,
                dim_feedforward: 384,
                ..transformer.clone()
            }),
            seanet,
            transformer,
        }
    }
}
