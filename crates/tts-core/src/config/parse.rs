//! From YAML to a [`Config`].

mod section;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use section::{CHARACTERS, DTYPE, FLAG, NUMBER, PAD_MODE, Section, TYPE, WHOLE, WHOLES};

use super::{
    Config, FlowConfig, FlowLmConfig, FlowLmTransformerConfig, FlowType, LookupTableConfig,
    MimiConfig, MimiTransformerConfig, QuantizerConfig, SeanetConfig, yaml,
};
use crate::error::{Error, Result};

/// Largest config taken, thirty times the largest released one; anything beyond is another kind of file.
const MAX_BYTES: usize = 64 << 10;

/// The reference's default of `default_temperature`.
pub const DEFAULT_TEMPERATURE: f32 = 0.3;
/// The reference's default of `default_eos_threshold`.
pub const DEFAULT_EOS_THRESHOLD: f32 = -4.0;
/// The reference's default of `max_period` in Mimi's transformers.
pub const DEFAULT_MAX_PERIOD: f32 = 10_000.0;

impl Config {
    /// Reads a config file.
    ///
    /// ```no_run
    /// use tts_core::config::Config;
    /// let config = Config::read("models/mine/config.yaml".as_ref())?;
    /// println!("{} samples a second", config.mimi.sample_rate);
    /// # Ok::<(), tts_core::error::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ConfigUnreadable`] if the file cannot be opened or read, and all that [`Config::parse`] returns.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = |source| Error::ConfigUnreadable {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        // One byte more than allowed tells a file that is too large from one that just fits.
        file.take(MAX_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() > MAX_BYTES {
            return Err(too_large(path));
        }
        let text = String::from_utf8(bytes).map_err(|error| Error::ConfigSyntax {
            file: path.to_owned(),
            line: None,
            problem: format!(
                "byte {} is no UTF-8; a config file is a YAML text in UTF-8",
                error.utf8_error().valid_up_to() + 1
            ),
        })?;
        Self::parse(&text, path)
    }

    /// Reads a config from a YAML text.
    ///
    /// Error messages use `name` as the file's name.
    ///
    /// # Errors
    /// [`Error::ConfigSyntax`] if the text is no YAML mapping, [`Error::ConfigUnknownKey`],
    /// [`Error::ConfigMissingKey`] and [`Error::ConfigValue`] if it is not the config of a model that
    /// can be built.
    pub fn parse(yaml: &str, name: &Path) -> Result<Self> {
        if yaml.len() > MAX_BYTES {
            return Err(too_large(name));
        }
        let syntax = |line, problem| Error::ConfigSyntax {
            file: name.to_owned(),
            line,
            problem,
        };
        let root = yaml::parse(yaml)
            .map_err(|problem| syntax(problem.line, problem.text))?
            .ok_or_else(|| {
                syntax(
                    None,
                    "is empty; a config starts with `flow_lm:` and `mimi:`".to_owned(),
                )
            })?;
        let config = config(&Section::root(name, &root, CONFIG)?)?;
        config.validate(name)?;
        Ok(config)
    }
}

fn too_large(file: &Path) -> Error {
    let problem = format!(
        "is larger than {} KiB; a config file is a YAML text of some hundred lines",
        MAX_BYTES >> 10
    );
    Error::ConfigSyntax {
        file: file.to_owned(),
        line: None,
        problem,
    }
}

const CONFIG: &[&str] = &[
    "flow_lm",
    "mimi",
    "weights_path",
    "weights_path_without_voice_cloning",
    "pad_with_spaces_for_short_inputs",
    "remove_semicolons",
    "append_terminal_punctuation",
    "capitalize_first_letter",
    "replace_characters",
    "model_recommended_frames_after_eos",
    "default_temperature",
    "default_eos_threshold",
];

fn config(section: &Section<'_>) -> Result<Config> {
    Ok(Config {
        flow_lm: flow_lm(&section.section("flow_lm", FLOW_LM)?)?,
        mimi: mimi(&section.section("mimi", MIMI)?)?,
        weights_path: section.optional_text("weights_path")?,
        weights_path_without_voice_cloning: section
            .optional_text("weights_path_without_voice_cloning")?,
        pad_with_spaces_for_short_inputs: section.default(
            "pad_with_spaces_for_short_inputs",
            FLAG,
            false,
        )?,
        remove_semicolons: section.default("remove_semicolons", FLAG, false)?,
        append_terminal_punctuation: section.default("append_terminal_punctuation", FLAG, true)?,
        capitalize_first_letter: section.default("capitalize_first_letter", FLAG, true)?,
        replace_characters: section.default(
            "replace_characters",
            CHARACTERS,
            Default::default(),
        )?,
        model_recommended_frames_after_eos: section
            .optional("model_recommended_frames_after_eos", WHOLE)?,
        default_temperature: section.default(
            "default_temperature",
            NUMBER,
            f64::from(DEFAULT_TEMPERATURE),
        )? as f32,
        default_eos_threshold: section.default(
            "default_eos_threshold",
            NUMBER,
            f64::from(DEFAULT_EOS_THRESHOLD),
        )? as f32,
    })
}

const FLOW_LM: &[&str] = &[
    "dtype",
    "flow",
    "transformer",
    "z_dim",
    "lookup_table",
    "weights_path",
    "insert_bos_before_voice",
];

fn flow_lm(section: &Section<'_>) -> Result<FlowLmConfig> {
    Ok(FlowLmConfig {
        dtype: section.required("dtype", DTYPE)?,
        flow: flow(&section.section("flow", &["dim", "depth", "type"])?)?,
        transformer: flow_lm_transformer(&section.section("transformer", FLOW_LM_TRANSFORMER)?)?,
        z_dim: section.optional("z_dim", WHOLE)?,
        lookup_table: lookup_table(&section.section("lookup_table", LOOKUP_TABLE)?)?,
        weights_path: section.optional_text("weights_path")?,
        insert_bos_before_voice: section.default("insert_bos_before_voice", FLAG, false)?,
    })
}

fn flow(section: &Section<'_>) -> Result<FlowConfig> {
    Ok(FlowConfig {
        dim: section.required("dim", WHOLE)?,
        depth: section.required("depth", WHOLE)?,
        kind: section.default("type", TYPE, FlowType::default())?,
    })
}

const FLOW_LM_TRANSFORMER: &[&str] = &[
    "hidden_scale",
    "max_period",
    "d_model",
    "num_heads",
    "num_layers",
    "attn_dim",
    "num_kv_heads",
    "dim_feedforward",
];

fn flow_lm_transformer(section: &Section<'_>) -> Result<FlowLmTransformerConfig> {
    Ok(FlowLmTransformerConfig {
        hidden_scale: section.required("hidden_scale", WHOLE)?,
        max_period: section.required("max_period", WHOLE)?,
        d_model: section.required("d_model", WHOLE)?,
        num_heads: section.required("num_heads", WHOLE)?,
        num_layers: section.required("num_layers", WHOLE)?,
        attn_dim: section.optional("attn_dim", WHOLE)?,
        num_kv_heads: section.optional("num_kv_heads", WHOLE)?,
        dim_feedforward: section.optional("dim_feedforward", WHOLE)?,
    })
}

const LOOKUP_TABLE: &[&str] = &["dim", "n_bins", "tokenizer", "tokenizer_path", "rank"];

fn lookup_table(section: &Section<'_>) -> Result<LookupTableConfig> {
    Ok(LookupTableConfig {
        dim: section.required("dim", WHOLE)?,
        n_bins: section.required("n_bins", WHOLE)?,
        tokenizer: section.required("tokenizer", section::TOKENIZER)?,
        tokenizer_path: section.text("tokenizer_path")?,
        rank: section.optional("rank", WHOLE)?,
    })
}

const MIMI: &[&str] = &[
    "dtype",
    "sample_rate",
    "channels",
    "frame_rate",
    "seanet",
    "transformer",
    "quantizer",
    "weights_path",
    "inner_dim",
    "outer_dim",
    "decoder_seanet",
    "decoder_transformer",
];

fn mimi(section: &Section<'_>) -> Result<MimiConfig> {
    Ok(MimiConfig {
        dtype: section.required("dtype", DTYPE)?,
        sample_rate: section.required("sample_rate", WHOLE)?,
        channels: section.required("channels", WHOLE)?,
        frame_rate: section.required("frame_rate", NUMBER)?,
        seanet: seanet(&section.section("seanet", SEANET)?)?,
        transformer: mimi_transformer(&section.section("transformer", MIMI_TRANSFORMER)?)?,
        quantizer: quantizer(&section.section("quantizer", &["dimension", "output_dimension"])?)?,
        weights_path: section.optional_text("weights_path")?,
        inner_dim: section.optional("inner_dim", WHOLE)?,
        outer_dim: section.optional("outer_dim", WHOLE)?,
        decoder_seanet: section
            .optional_section("decoder_seanet", SEANET)?
            .map(|section| seanet(&section))
            .transpose()?,
        decoder_transformer: section
            .optional_section("decoder_transformer", MIMI_TRANSFORMER)?
            .map(|section| mimi_transformer(&section))
            .transpose()?,
    })
}

const SEANET: &[&str] = &[
    "dimension",
    "channels",
    "n_filters",
    "n_residual_layers",
    "ratios",
    "kernel_size",
    "residual_kernel_size",
    "last_kernel_size",
    "dilation_base",
    "pad_mode",
    "compress",
];

fn seanet(section: &Section<'_>) -> Result<SeanetConfig> {
    Ok(SeanetConfig {
        dimension: section.required("dimension", WHOLE)?,
        channels: section.required("channels", WHOLE)?,
        n_filters: section.required("n_filters", WHOLE)?,
        n_residual_layers: section.required("n_residual_layers", WHOLE)?,
        ratios: section.required("ratios", WHOLES)?,
        kernel_size: section.required("kernel_size", WHOLE)?,
        residual_kernel_size: section.required("residual_kernel_size", WHOLE)?,
        last_kernel_size: section.required("last_kernel_size", WHOLE)?,
        dilation_base: section.required("dilation_base", WHOLE)?,
        pad_mode: section.required("pad_mode", PAD_MODE)?,
        compress: section.required("compress", WHOLE)?,
    })
}

const MIMI_TRANSFORMER: &[&str] = &[
    "d_model",
    "input_dimension",
    "output_dimensions",
    "num_heads",
    "num_layers",
    "layer_scale",
    "context",
    "max_period",
    "dim_feedforward",
];

fn mimi_transformer(section: &Section<'_>) -> Result<MimiTransformerConfig> {
    Ok(MimiTransformerConfig {
        d_model: section.required("d_model", WHOLE)?,
        input_dimension: section.required("input_dimension", WHOLE)?,
        output_dimensions: section.required("output_dimensions", WHOLES)?,
        num_heads: section.required("num_heads", WHOLE)?,
        num_layers: section.required("num_layers", WHOLE)?,
        layer_scale: section.required("layer_scale", NUMBER)? as f32,
        context: section.required("context", WHOLE)?,
        max_period: section.default("max_period", NUMBER, f64::from(DEFAULT_MAX_PERIOD))? as f32,
        dim_feedforward: section.required("dim_feedforward", WHOLE)?,
    })
}

fn quantizer(section: &Section<'_>) -> Result<QuantizerConfig> {
    Ok(QuantizerConfig {
        dimension: section.required("dimension", WHOLE)?,
        output_dimension: section.required("output_dimension", WHOLE)?,
    })
}
