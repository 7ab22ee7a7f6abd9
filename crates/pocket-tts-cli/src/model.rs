//! Loading of the model that the command line selects.

use std::sync::OnceLock;

use pocket_tts::{LoadOptions, ModelSource, OpenModel, TtsModel};

use crate::args::ModelArgs;

/// Keeps the model loaded until the program ends, so that the memory summary includes it.
static LOADED: OnceLock<TtsModel> = OnceLock::new();

/// Opens the files of the model that the command line selects.
pub(crate) fn open(args: &ModelArgs) -> anyhow::Result<OpenModel> {
    let mut options = LoadOptions::default().with_device(args.device);
    options.threads = args.threads;
    #[cfg(feature = "hub")]
    {
        options.hub = hub_options(args);
    }
    Ok(OpenModel::open(source(args)?, options)?)
}

/// Loads an opened model.
pub(crate) fn load(model: OpenModel) -> anyhow::Result<TtsModel> {
    let model = model.load()?;
    LOADED.get_or_init(|| model.clone());
    Ok(model)
}

fn source(args: &ModelArgs) -> anyhow::Result<ModelSource> {
    if let Some(preset) = args.language {
        return Ok(ModelSource::Preset(preset));
    }
    if let Some(location) = &args.config {
        return Ok(ModelSource::Config(location.clone()));
    }
    #[cfg(feature = "builtin-voice")]
    return Ok(ModelSource::BuiltIn);
    #[cfg(not(feature = "builtin-voice"))]
    {
        use clap::CommandFactory;
        anyhow::bail!(crate::args::Cli::command().error(
            clap::error::ErrorKind::MissingRequiredArgument,
            "this program was built without the built-in voice: select a model with --language or \
             --config",
        ))
    }
}

#[cfg(feature = "hub")]
fn hub_options(args: &ModelArgs) -> pocket_tts::hub::HubOptions {
    let mut options = pocket_tts::hub::HubOptions::from_env();
    if args.offline {
        options = options.with_offline();
    }
    if !args.quiet {
        options = options.with_progress(crate::progress::DownloadBar::new());
    }
    options
}
