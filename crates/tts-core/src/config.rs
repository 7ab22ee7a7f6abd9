//! The configuration of a model, read from YAML or taken from the released ones.
//!
//! [`Config::read`] reads a file with the same keys as the reference's config files;
//! [`Preset`] holds the configs of the models that Kyutai released. Both are checked as a whole by
//! [`Config::validate`], so that whoever builds a model from a config need not check its sizes again.

mod location;
mod parse;
mod presets;
mod schema;
mod validate;
mod voices;
mod yaml;

pub use location::Location;
pub use presets::Preset;
pub use schema::{
    Config, Dtype, FlowConfig, FlowLmConfig, FlowLmTransformerConfig, FlowType, LookupTableConfig,
    MimiConfig, MimiTransformerConfig, PadMode, QuantizerConfig, SeanetConfig,
};
pub use voices::{PREDEFINED_VOICES, predefined_voice, voice_location};

/// The known name most like `name`, if one is like it.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|known| {
            (
                strsim::normalized_damerau_levenshtein(&name.to_lowercase(), known),
                known,
            )
        })
        // Half of the letters right: enough for `ratio`, `num_head` or `englsh`, too much for chance.
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.to_owned())
}
