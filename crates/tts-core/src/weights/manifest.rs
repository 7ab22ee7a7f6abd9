//! Every tensor that a config asks for, with its shape.

use crate::config::{Config, MimiTransformerConfig, SeanetConfig};

/// A tensor that a config asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in a single-file model.
    pub name: String,
    /// Its sizes, outermost first.
    pub shape: Vec<usize>,
    /// The part of the model that it belongs to.
    pub part: Part,
}

/// Which part of a model a tensor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text to latents.
    FlowLm,
    /// Latents to audio.
    Decoder,
    /// Audio to a voice: a file may leave all of it out.
    VoiceEncoder,
}

/// Frequencies and sines of a time, concatenated: twice the frequencies stored. The flow heads of
/// all released models have this width, and no config changes it.
const TIME_EMBEDDING_WIDTH: usize = 256;

/// The tensors that `config` asks for: what a weights file must hold.
pub fn expected_tensors(config: &Config) -> Vec<TensorSpec> {
    let mut list = List::default();
    list.flow_lm(config);
    list.decoder(config);
    list.encoder(config);
    list.specs
}

#[derive(Default)]
struct List {
    specs: Vec<TensorSpec>,
    part: Option<Part>,
}

impl List {
    fn push(&mut self, name: impl Into<String>, shape: impl Into<Vec<usize>>) {
        self.specs.push(TensorSpec {
            name: name.into(),
            shape: shape.into(),
            part: self.part.unwrap_or(Part::FlowLm),
        });
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.push(format!("{name}.weight"), [width]);
        self.push(format!("{name}.bias"), [width]);
    }

    fn linear(&mut self, name: &str, shape: [usize; 2]) {
        self.push(format!("{name}.weight"), shape);
    }

    fn biased(&mut self, name: &str, shape: &[usize], bias: usize) {
        self.push(format!("{name}.weight"), shape);
        self.push(format!("{name}.bias"), [bias]);
    }

    fn flow_lm(&mut self, config: &Config) {
        self.part = Some(Part::FlowLm);
        let flow_lm = &config.flow_lm;
        let transformer = &flow_lm.transformer;
        let latent = config.mimi.latent_dim();
        let width = transformer.d_model;

        let table = &flow_lm.lookup_table;
        self.push(
            "flow_lm.conditioner.embed.weight",
            [table.n_bins + 1, table.rank.unwrap_or(table.dim)],
        );
        if let Some(rank) = table.rank {
            self.linear("flow_lm.conditioner.proj", [table.dim, rank]);
        }
        self.push("flow_lm.emb_mean", [latent]);
        self.push("flow_lm.emb_std", [latent]);
        self.push("flow_lm.bos_emb", [latent]);
        if flow_lm.insert_bos_before_voice {
            self.push("flow_lm.bos_before_voice", [1, 1, width]);
        }
        self.linear("flow_lm.input_linear", [width, latent]);
        for layer in 0..transformer.num_layers {
            self.layer(
                &format!("flow_lm.transformer.layers.{layer}"),
                width,
                transformer.attention_width(),
                transformer.kv_heads() * transformer.head_dim(),
                transformer.feed_forward_width(),
            );
        }
        self.norm("flow_lm.out_norm", width);
        if let Some(z) = flow_lm.z_dim {
            self.linear("flow_lm.z_proj", [z, width]);
        }
        let condition = flow_lm.output_width();
        self.biased("flow_lm.out_eos", &[1, condition], 1);

        let (net, dim) = ("flow_lm.flow_net", flow_lm.flow.dim);
        self.biased(&format!("{net}.input_proj"), &[dim, latent], dim);
        self.biased(&format!("{net}.cond_embed"), &[dim, condition], dim);
        for time in 0..flow_lm.flow.kind.number_of_times() {
            let name = format!("{net}.time_embed.{time}");
            self.push(format!("{name}.freqs"), [TIME_EMBEDDING_WIDTH / 2]);
            self.biased(&format!("{name}.mlp.0"), &[dim, TIME_EMBEDDING_WIDTH], dim);
            self.biased(&format!("{name}.mlp.2"), &[dim, dim], dim);
            self.push(format!("{name}.mlp.3.alpha"), [dim]);
        }
        for block in 0..flow_lm.flow.depth {
            let name = format!("{net}.res_blocks.{block}");
            self.norm(&format!("{name}.in_ln"), dim);
            self.biased(&format!("{name}.mlp.0"), &[dim, dim], dim);
            self.biased(&format!("{name}.mlp.2"), &[dim, dim], dim);
            self.biased(
                &format!("{name}.adaLN_modulation.1"),
                &[3 * dim, dim],
                3 * dim,
            );
        }
        let name = format!("{net}.final_layer");
        self.biased(
            &format!("{name}.adaLN_modulation.1"),
            &[2 * dim, dim],
            2 * dim,
        );
        self.biased(&format!("{name}.linear"), &[latent, dim], latent);
    }

    fn decoder(&mut self, config: &Config) {
        self.part = Some(Part::Decoder);
        let mimi = &config.mimi;
        let seanet = mimi.decoder_seanet();
        self.push(
            "mimi.quantizer.output_proj.weight",
            [mimi.quantizer.output_dimension, mimi.quantizer.dimension, 1],
        );
        let steps = mimi.steps_per_frame();
        if steps > 1 {
            self.push(
                "mimi.upsample.convtr.convtr.weight",
                [seanet.dimension, 1, 2 * steps],
            );
        }
        self.projected("mimi.decoder_transformer", mimi.decoder_transformer());

        let name = "mimi.decoder.model";
        let mut channels = seanet.n_filters << seanet.ratios.len();
        self.conv(name, 0, [channels, seanet.dimension, seanet.kernel_size]);
        let mut index = 1;
        for ratio in &seanet.ratios {
            self.biased(
                &format!("{name}.{}.convtr", index + 1),
                &[channels, channels / 2, 2 * ratio],
                channels / 2,
            );
            channels /= 2;
            index += 2;
            index += self.residual_blocks(name, index, channels, seanet);
        }
        self.conv(
            name,
            index + 1,
            [seanet.channels, channels, seanet.last_kernel_size],
        );
    }

    fn encoder(&mut self, config: &Config) {
        self.part = Some(Part::VoiceEncoder);
        let mimi = &config.mimi;
        let seanet = &mimi.seanet;
        let name = "mimi.encoder.model";
        let mut channels = seanet.n_filters;
        self.conv(name, 0, [channels, seanet.channels, seanet.kernel_size]);
        let mut index = 1;
        for ratio in seanet.ratios.iter().rev() {
            index += self.residual_blocks(name, index, channels, seanet);
            self.conv(name, index + 1, [2 * channels, channels, 2 * ratio]);
            channels *= 2;
            index += 2;
        }
        self.conv(
            name,
            index + 1,
            [seanet.dimension, channels, seanet.last_kernel_size],
        );
        self.projected("mimi.encoder_transformer", &mimi.transformer);
        let steps = mimi.steps_per_frame();
        if steps > 1 {
            self.push(
                "mimi.downsample.conv.conv.weight",
                [mimi.encoder_dim(), seanet.dimension, 2 * steps],
            );
        }
        self.push(
            "flow_lm.speaker_proj_weight",
            [config.flow_lm.transformer.d_model, mimi.encoder_dim()],
        );
    }

    fn conv(&mut self, name: &str, index: usize, shape: [usize; 3]) {
        self.biased(&format!("{name}.{index}.conv"), &shape, shape[0]);
    }

    /// Residual blocks at `index`, and how many there are.
    fn residual_blocks(
        &mut self,
        name: &str,
        index: usize,
        channels: usize,
        seanet: &SeanetConfig,
    ) -> usize {
        let hidden = channels / seanet.compress;
        for block in index..index + seanet.n_residual_layers {
            let name = format!("{name}.{block}.block");
            self.conv(&name, 1, [hidden, channels, seanet.residual_kernel_size]);
            self.conv(&name, 3, [channels, hidden, 1]);
        }
        seanet.n_residual_layers
    }

    fn projected(&mut self, name: &str, config: &MimiTransformerConfig) {
        let width = config.d_model;
        if config.input_dimension != width {
            self.linear(
                &format!("{name}.input_proj"),
                [width, config.input_dimension],
            );
        }
        for layer in 0..config.num_layers {
            let layer = format!("{name}.transformer.layers.{layer}");
            self.layer(&layer, width, width, width, config.dim_feedforward);
            self.push(format!("{layer}.layer_scale_1.scale"), [width]);
            self.push(format!("{layer}.layer_scale_2.scale"), [width]);
        }
        for (index, output) in config.output_dimensions.iter().enumerate() {
            if *output != width {
                self.linear(&format!("{name}.output_projs.{index}"), [*output, width]);
            }
        }
    }

    fn layer(
        &mut self,
        name: &str,
        width: usize,
        query_width: usize,
        kv_width: usize,
        feed_forward: usize,
    ) {
        self.norm(&format!("{name}.norm1"), width);
        self.linear(
            &format!("{name}.self_attn.in_proj"),
            [query_width + 2 * kv_width, width],
        );
        self.linear(&format!("{name}.self_attn.out_proj"), [width, query_width]);
        self.norm(&format!("{name}.norm2"), width);
        self.linear(&format!("{name}.linear1"), [feed_forward, width]);
        self.linear(&format!("{name}.linear2"), [width, feed_forward]);
    }
}
