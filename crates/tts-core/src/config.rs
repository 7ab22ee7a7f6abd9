//! The configuration of a model.
//!
//! [`Config::read`] reads a YAML file with the same keys as the reference's config files.
//! [`Config::validate`] checks that all sizes are in range and consistent, so that code that builds a
//! model from a config need not check them again. The locations of weights and tokenizer are stored as
//! written: the caller resolves them.

mod error;
mod parse;
mod read;
mod schema;
mod tree;
mod validate;

pub use error::{ConfigError, Position};
pub use schema::{
    Config, DEFAULT_EOS_THRESHOLD, DEFAULT_MAX_PERIOD, DEFAULT_TEMPERATURE, Dtype, FlowConfig,
    FlowLmConfig, FlowLmTransformerConfig, FlowType, LookupTableConfig, MimiConfig,
    MimiTransformerConfig, PadMode, QuantizerConfig, SeanetConfig,
};

/// Returns the known name with the spelling most similar to `name`, if any is similar.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|known| {
            (
                strsim::normalized_damerau_levenshtein(&name.to_lowercase(), known),
                known,
            )
        })
        // Half of the letters match: this includes `ratio` and `num_head`, and excludes coincidences.
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.to_owned())
}
