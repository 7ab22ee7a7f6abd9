//! Validation of a config's sizes.

use std::fmt::Display;
use std::path::Path;

use super::error::Position;
use super::{Config, ConfigError, FlowLmConfig, MimiConfig, MimiTransformerConfig, SeanetConfig};

/// Largest width, count or rate: a hundred times those of any model of this kind, and small enough
/// that the product of any three fits 64 bits.
const MAX_SIZE: usize = 1 << 20;
/// Maximum number of layers or blocks. Each takes time to build, so the bound is closer to existing
/// models (24).
const MAX_LAYERS: usize = 1024;
/// Maximum number of SEANet ratios: each doubles the number of filters, which is at most [`MAX_SIZE`].
const MAX_RATIOS: usize = 20;
/// Tolerance for rounding of a whole number of samples: rates like 11.025 are not binary fractions.
const WHOLE_TOLERANCE: f64 = 1e-6;

type Result<T, E = Invalid> = std::result::Result<T, E>;

/// A value that is out of range, or conflicts with another value.
#[derive(Debug)]
pub(super) struct Invalid {
    /// The key with its path, as in `mimi.seanet.ratios`.
    pub(super) key: String,
    pub(super) found: String,
    pub(super) allowed: String,
}

impl Invalid {
    /// Returns the keys that lead to the value.
    pub(super) fn path(&self) -> Vec<String> {
        self.key.split('.').map(str::to_owned).collect()
    }
}

impl Config {
    /// Checks that a model can be built from this config. Error messages use `name` as the file's name.
    ///
    /// [`Config::parse`] and [`Config::read`] call this; call it for a config made in code. A config
    /// without weights is valid.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`] for the first size that is out of range or conflicts with another, and for
    /// a location of weights that would not be used.
    pub fn validate(&self, name: impl AsRef<Path>) -> Result<(), ConfigError> {
        self.check().map_err(|invalid| ConfigError::Value {
            at: Position {
                file: name.as_ref().to_owned(),
                line: None,
            },
            key: invalid.key,
            found: invalid.found,
            allowed: invalid.allowed,
        })
    }

    pub(super) fn check(&self) -> Result<()> {
        let check = Check::default();
        flow_lm(&check.within("flow_lm"), &self.flow_lm)?;
        mimi(&check.within("mimi"), &self.mimi)?;
        self.weights(&check)?;
        if let Some(frames) = self.model_recommended_frames_after_eos {
            check.range("model_recommended_frames_after_eos", frames, 0, MAX_SIZE)?;
        }
        check.ensure(
            self.default_temperature.is_finite() && self.default_temperature >= 0.0,
            "default_temperature",
            self.default_temperature,
            "a finite number, at least 0",
        )?;
        check.ensure(
            self.default_eos_threshold.is_finite(),
            "default_eos_threshold",
            self.default_eos_threshold,
            "a finite number",
        )
    }

    /// Rejects one component's weights alone, as the reference does, and locations that would not be used.
    fn weights(&self, check: &Check) -> Result<()> {
        if let Some(path) = &self.flow_lm.weights_path {
            check.ensure(
                self.mimi.weights_path.is_some(),
                "flow_lm.weights_path",
                path,
                "set together with `mimi.weights_path`, which is missing",
            )?;
            check.ensure(
                self.weights_path.is_none(),
                "flow_lm.weights_path",
                path,
                "omitted when `weights_path` is set, which contains the same weights",
            )?;
        } else if let (Some(path), None) = (&self.mimi.weights_path, &self.weights_path) {
            check.ensure(
                false,
                "mimi.weights_path",
                path,
                "set together with `flow_lm.weights_path` or `weights_path`, which are both missing",
            )?;
        }
        if let (Some(path), None) = (&self.weights_path_without_voice_cloning, &self.weights_path) {
            check.ensure(
                false,
                "weights_path_without_voice_cloning",
                path,
                "set together with `weights_path`, which is missing (this file is used when `weights_path` is not available)",
            )?;
        }
        Ok(())
    }
}

fn flow_lm(check: &Check, config: &FlowLmConfig) -> Result<()> {
    let flow = check.within("flow");
    // The time embedding is normalized by an unbiased variance, which needs at least two elements.
    flow.range("dim", config.flow.dim, 2, MAX_SIZE)?;
    flow.range("depth", config.flow.depth, 1, MAX_LAYERS)?;

    let sizes = &config.transformer;
    let transformer = check.within("transformer");
    transformer.size("d_model", sizes.d_model)?;
    transformer.size("hidden_scale", sizes.hidden_scale)?;
    transformer.size("max_period", sizes.max_period)?;
    transformer.range("num_layers", sizes.num_layers, 1, MAX_LAYERS)?;
    transformer.optional_size("attn_dim", sizes.attn_dim)?;
    transformer.optional_size("dim_feedforward", sizes.dim_feedforward)?;
    transformer.ensure(
        sizes.feed_forward_width() <= MAX_SIZE,
        "hidden_scale",
        sizes.hidden_scale,
        format_args!(
            "at most {MAX_SIZE} / `d_model` = {}",
            MAX_SIZE / sizes.d_model
        ),
    )?;
    let (width, width_key) = match sizes.attn_dim {
        Some(width) => (width, "attn_dim"),
        None => (sizes.d_model, "d_model"),
    };
    transformer.heads(width, width_key, sizes.num_heads)?;
    if let Some(heads) = sizes.num_kv_heads {
        transformer.size("num_kv_heads", heads)?;
        transformer.ensure(
            sizes.num_heads.is_multiple_of(heads),
            "num_kv_heads",
            heads,
            format_args!("a divisor of `num_heads` = {}", sizes.num_heads),
        )?;
    }
    check.optional_size("z_dim", config.z_dim)?;

    let table = check.within("lookup_table");
    table.size("n_bins", config.lookup_table.n_bins)?;
    table.optional_size("rank", config.lookup_table.rank)?;
    table.equal(
        "dim",
        config.lookup_table.dim,
        "flow_lm.transformer.d_model",
        sizes.d_model,
    )
}

fn mimi(check: &Check, config: &MimiConfig) -> Result<()> {
    check.size("sample_rate", config.sample_rate)?;
    check.ensure(
        config.channels == 1,
        "channels",
        config.channels,
        "1: the models are mono",
    )?;

    seanet(&check.within("seanet"), &config.seanet)?;
    transformer(
        &check.within("transformer"),
        &config.transformer,
        &config.seanet,
        "mimi.seanet.dimension",
    )?;
    if let Some(decoder) = &config.decoder_seanet {
        let check = check.within("decoder_seanet");
        seanet(&check, decoder)?;
        let (hop, expected) = (decoder.hop_length(), config.seanet.hop_length());
        check.ensure(
            hop == expected,
            "ratios",
            format_args!("{:?}, {hop} together", decoder.ratios),
            format_args!("{expected} together, as in `mimi.seanet.ratios`: the decoder produces as many samples per frame as the encoder consumes"),
        )?;
    }
    let decoder_key = if config.decoder_seanet.is_some() {
        "mimi.decoder_seanet"
    } else {
        "mimi.seanet"
    };
    let decoder_dimension = format!("{decoder_key}.dimension");
    let decoder_transformer_key = if config.decoder_transformer.is_some() {
        "decoder_transformer"
    } else {
        "transformer"
    };
    transformer(
        &check.within(decoder_transformer_key),
        config.decoder_transformer(),
        config.decoder_seanet(),
        &decoder_dimension,
    )?;
    frame_rate(check, config)?;

    check.optional_size("inner_dim", config.inner_dim)?;
    if let Some(outer) = config.outer_dim {
        check.equal(
            "outer_dim",
            outer,
            &decoder_dimension,
            config.decoder_seanet().dimension,
        )?;
    }
    let quantizer = check.within("quantizer");
    quantizer.size("dimension", config.quantizer.dimension)?;
    let outer_key = if config.outer_dim.is_some() {
        "mimi.outer_dim"
    } else {
        &decoder_dimension
    };
    quantizer.equal(
        "output_dimension",
        config.quantizer.output_dimension,
        outer_key,
        config.decoder_dim(),
    )
}

fn frame_rate(check: &Check, config: &MimiConfig) -> Result<()> {
    let rate = config.frame_rate;
    check.ensure(
        rate.is_finite() && rate > 0.0,
        "frame_rate",
        rate,
        "a finite number above 0",
    )?;
    let samples = config.sample_rate as f64 / rate;
    let hop = config.seanet.hop_length();
    let positions = samples / hop as f64;
    // The encoder and the decoder resample by convolutions with this stride.
    check.ensure(
        (positions - positions.round()).abs() <= WHOLE_TOLERANCE && positions.round() >= 2.0 && samples <= MAX_SIZE as f64,
        "frame_rate",
        format_args!("{rate}, which is {samples} samples per frame at `mimi.sample_rate` = {}", config.sample_rate),
        format_args!(
            "such that a frame is a multiple, at least twice, of {hop} samples (the product of `mimi.seanet.ratios`) and at most {MAX_SIZE}"
        ),
    )
}

fn seanet(check: &Check, sizes: &SeanetConfig) -> Result<()> {
    check.size("dimension", sizes.dimension)?;
    check.ensure(
        sizes.channels == 1,
        "channels",
        sizes.channels,
        "1: the models are mono",
    )?;
    check.size("n_filters", sizes.n_filters)?;
    check.range("n_residual_layers", sizes.n_residual_layers, 0, MAX_LAYERS)?;
    check.size("kernel_size", sizes.kernel_size)?;
    check.size("residual_kernel_size", sizes.residual_kernel_size)?;
    check.size("last_kernel_size", sizes.last_kernel_size)?;
    check.size("dilation_base", sizes.dilation_base)?;
    check.range("compress", sizes.compress, 1, sizes.n_filters)?;

    check.ensure(
        (1..=MAX_RATIOS).contains(&sizes.ratios.len()),
        "ratios",
        format_args!("a list of {}", sizes.ratios.len()),
        format_args!("a list of 1 to {MAX_RATIOS} whole numbers"),
    )?;
    let hop = sizes.ratios.iter().try_fold(1usize, |product, &ratio| {
        product
            .checked_mul(ratio)
            .filter(|product| (1..=MAX_SIZE).contains(product))
    });
    check.ensure(
        hop.is_some(),
        "ratios",
        format_args!("{:?}", sizes.ratios),
        format_args!("whole numbers from 1 up, at most {MAX_SIZE} multiplied together"),
    )?;
    check.ensure(
        sizes.n_filters << sizes.ratios.len() <= MAX_SIZE,
        "n_filters",
        sizes.n_filters,
        format_args!(
            "at most {}, as each of the {} ratios doubles it",
            MAX_SIZE >> sizes.ratios.len(),
            sizes.ratios.len()
        ),
    )?;
    // Receptive field of the last residual block, which has the largest dilation.
    let powers = u32::try_from(sizes.n_residual_layers.saturating_sub(1)).unwrap_or(u32::MAX);
    let field = sizes
        .dilation_base
        .checked_pow(powers)
        .and_then(|base| base.checked_mul(sizes.residual_kernel_size));
    check.ensure(
        field.is_some_and(|field| field <= MAX_SIZE),
        "dilation_base",
        sizes.dilation_base,
        format_args!(
            "small enough that, to the power of {powers} (`n_residual_layers` - 1) and times `residual_kernel_size` = {}, it is at most {MAX_SIZE}",
            sizes.residual_kernel_size
        ),
    )
}

/// Checks a transformer that processes the features of `seanet`; `seanet_key` is the key of their width.
fn transformer(
    check: &Check,
    sizes: &MimiTransformerConfig,
    seanet: &SeanetConfig,
    seanet_key: &str,
) -> Result<()> {
    check.size("d_model", sizes.d_model)?;
    check.heads(sizes.d_model, "d_model", sizes.num_heads)?;
    check.range("num_layers", sizes.num_layers, 1, MAX_LAYERS)?;
    check.size("context", sizes.context)?;
    check.size("dim_feedforward", sizes.dim_feedforward)?;
    check.ensure(
        sizes.layer_scale.is_finite(),
        "layer_scale",
        sizes.layer_scale,
        "a finite number",
    )?;
    check.ensure(
        sizes.max_period.is_finite() && sizes.max_period > 0.0,
        "max_period",
        sizes.max_period,
        "a finite number above 0",
    )?;
    check.equal(
        "input_dimension",
        sizes.input_dimension,
        seanet_key,
        seanet.dimension,
    )?;
    check.ensure(
        sizes.output_dimensions == [seanet.dimension],
        "output_dimensions",
        format_args!("{:?}", sizes.output_dimensions),
        format_args!("[{}], as `{seanet_key}`", seanet.dimension),
    )
}

/// Checks the values of one section.
#[derive(Default)]
struct Check {
    /// Keys that lead to the section, each followed by a dot.
    section: String,
}

impl Check {
    fn within(&self, key: &str) -> Self {
        Self {
            section: format!("{}{key}.", self.section),
        }
    }

    fn ensure(
        &self,
        holds: bool,
        key: &str,
        found: impl Display,
        allowed: impl Display,
    ) -> Result<()> {
        if holds {
            return Ok(());
        }
        Err(Invalid {
            key: format!("{}{key}", self.section),
            found: found.to_string(),
            allowed: allowed.to_string(),
        })
    }

    fn range(&self, key: &str, value: usize, min: usize, max: usize) -> Result<()> {
        self.ensure(
            (min..=max).contains(&value),
            key,
            value,
            format_args!("from {min} to {max}"),
        )
    }

    fn size(&self, key: &str, value: usize) -> Result<()> {
        self.range(key, value, 1, MAX_SIZE)
    }

    fn optional_size(&self, key: &str, value: Option<usize>) -> Result<()> {
        value.map_or(Ok(()), |value| self.size(key, value))
    }

    fn equal(&self, key: &str, value: usize, other_key: &str, other: usize) -> Result<()> {
        self.ensure(
            value == other,
            key,
            value,
            format_args!("{other}, as `{other_key}`"),
        )
    }

    /// Checks that all heads have the same even width: rotary embedding rotates pairs of elements.
    fn heads(&self, width: usize, width_key: &str, heads: usize) -> Result<()> {
        self.size("num_heads", heads)?;
        self.ensure(
            width.is_multiple_of(heads) && (width / heads).is_multiple_of(2),
            "num_heads",
            heads,
            format_args!(
                "such that `{width_key}` = {width} splits into that many heads of the same even width"
            ),
        )
    }
}
