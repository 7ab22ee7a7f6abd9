//! Valid and invalid weights files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{Component, Directory, Loader, Weights, WeightsError};
use crate::components::expected_tensors;
use crate::config::Config;
use crate::flow_lm::FlowLm;
use crate::ledger::Ledger;
use crate::ops::Backend;
use crate::voice::{VoiceError, VoiceFile, VoiceShape};

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/parity/lsd")
        .join(file)
}

fn config() -> Config {
    Config::read(fixture("config.yaml")).expect("the fixture's config is valid")
}

fn tensors() -> Tensors {
    let bytes = std::fs::read(fixture("model.safetensors")).expect("the fixture is readable");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("the fixture is valid");
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            let tensor = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            (name, tensor)
        })
        .collect()
}

fn write(folder: &Path, file: &str, tensors: &Tensors) -> PathBuf {
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("shape and bytes agree");
        (name.clone(), view)
    });
    let path = folder.join(file);
    let bytes = safetensors::serialize(views, None).expect("it serializes");
    std::fs::write(&path, bytes).expect("it is written");
    path
}

fn message(path: &Path) -> String {
    match Weights::open(path).and_then(|weights| weights.check(&expected_tensors(&config()))) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn check_reports_all_differences_together() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut tensors = tensors();
    tensors.remove("flow_lm.bos_emb");
    tensors.insert("flow_lm.extra".into(), (Dtype::F32, vec![1], vec![0; 4]));
    tensors.insert("flow_lm.emb_std".into(), (Dtype::F32, vec![3], vec![0; 12]));
    tensors.insert(
        "flow_lm.emb_mean".into(),
        (Dtype::I64, vec![16], vec![0; 128]),
    );
    let message = message(&write(folder.path(), "model.safetensors", &tensors));
    for expected in [
        "model.safetensors",
        "1 missing: flow_lm.bos_emb",
        "1 unexpected: flow_lm.extra",
        "flow_lm.emb_std is [3] (expected [16])",
        "flow_lm.emb_mean is I64 (expected F32, F16 or BF16)",
    ] {
        assert!(
            message.contains(expected),
            "{expected:?} is not in {message:?}"
        );
    }
}

#[test]
fn check_accepts_a_missing_voice_encoder_but_not_an_incomplete_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let is_encoder = |name: &str| {
        name.starts_with("mimi.encoder")
            || name.starts_with("mimi.downsample")
            || name == "flow_lm.speaker_proj_weight"
    };
    let mut without = tensors();
    without.retain(|name, _| !is_encoder(name));
    let path = write(folder.path(), "without.safetensors", &without);
    let weights = Weights::open(&path).expect("it is valid");
    assert!(
        !weights
            .check(&expected_tensors(&config()))
            .expect("it suffices")
    );

    let mut incomplete = tensors();
    incomplete.remove("flow_lm.speaker_proj_weight");
    let message = message(&write(folder.path(), "incomplete.safetensors", &incomplete));
    assert!(
        message.contains("1 missing: flow_lm.speaker_proj_weight"),
        "{message}"
    );
}

#[test]
fn rejects_values_that_are_not_finite() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut tensors = tensors();
    let (_, _, bytes) = tensors.get_mut("flow_lm.bos_emb").expect("it is there");
    bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let path = write(folder.path(), "nan.safetensors", &tensors);
    let weights = Weights::open(&path).expect("the header is fine");
    let error = loader(&weights, &Ledger::default())
        .values("flow_lm.bos_emb", &[16])
        .expect_err("it is not finite");
    let message = error.to_string();
    assert!(
        message.contains("nan.safetensors") && message.contains("flow_lm.bos_emb"),
        "{message}"
    );
}

#[test]
fn rejects_files_that_are_not_weights_with_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let good = std::fs::read(fixture("model.safetensors")).expect("readable");
    let mut huge = good.clone();
    huge[..8].copy_from_slice(&(1u64 << 60).to_le_bytes());
    let cases: [(&str, &[u8], &str); 5] = [
        ("empty", &[], "it is empty"),
        ("short", &good[..5], "too few for a header"),
        ("cut", &good[..good.len() - 1], "cut off"),
        ("huge", &huge, "claims 1152921504606846976 bytes"),
        ("text", b"{\"a\": 1} is not a model", "header"),
    ];
    for (name, bytes, reason) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("it is written");
        let message = message(&path);
        assert!(
            message.contains(reason) && message.contains(name),
            "{message}"
        );
    }
    let missing = message(&folder.path().join("missing"));
    assert!(missing.contains("cannot read weights"), "{missing}");
    assert!(message(folder.path()).contains("not a regular file"));
}

#[test]
fn two_files_with_training_names_give_the_same_model() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut flow_lm, mut mimi) = (Tensors::new(), Tensors::new());
    for (name, tensor) in tensors() {
        if let Some(name) = name.strip_prefix("flow_lm.") {
            let name = match name {
                "conditioner.embed.weight" => {
                    "condition_provider.conditioners.transcript_in_segment.embed.weight".into()
                }
                "speaker_proj_weight" => {
                    "condition_provider.conditioners.speaker_wavs.output_proj.weight".into()
                }
                "bos_before_voice" => "fuser.padding_value".into(),
                name => name.replace(".in_proj.weight", ".in_proj_weight"),
            };
            flow_lm.insert(name, tensor);
        } else if let Some(name) = name.strip_prefix("mimi.") {
            let name = name
                .replace(".in_proj.weight", ".in_proj_weight")
                .replace(".conv.weight", ".conv.conv.weight")
                .replace(".conv.bias", ".conv.conv.bias")
                .replace(".convtr.weight", ".convtr.convtr.weight")
                .replace(".convtr.bias", ".convtr.convtr.bias");
            mimi.insert(format!("model.{name}"), tensor);
        }
    }
    flow_lm.insert("num_ema_updates".into(), (Dtype::F32, vec![1], vec![0; 4]));
    mimi.insert(
        "model.quantizer.vq.x".into(),
        (Dtype::F32, vec![1], vec![0; 4]),
    );
    // One convolution is stored as a gain and a direction of twice its length.
    let name = "model.decoder.model.0.conv.conv.weight";
    let (dtype, shape, bytes) = mimi.remove(name).expect("it is there");
    let values: Vec<f32> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    let gains: Vec<u8> = values
        .chunks(values.len() / shape[0])
        .flat_map(|row| row.iter().map(|x| x * x).sum::<f32>().sqrt().to_le_bytes())
        .collect();
    let direction = values
        .iter()
        .flat_map(|x| (2.0 * x).to_le_bytes())
        .collect();
    mimi.insert(format!("{name}_g"), (dtype, vec![shape[0], 1, 1], gains));
    mimi.insert(format!("{name}_v"), (dtype, shape, direction));

    let flow_lm = write(folder.path(), "flow_lm.safetensors", &flow_lm);
    let mimi = write(folder.path(), "mimi.safetensors", &mimi);
    let pair = Weights::open_components(&flow_lm, &mimi).expect("both are valid");
    assert!(
        pair.check(&expected_tensors(&config()))
            .expect("together they are a model")
    );
    let whole = Weights::open(fixture("model.safetensors")).expect("it is valid");
    for spec in expected_tensors(&config()) {
        let [a, b] = [&pair, &whole].map(|file| {
            file.directory
                .floats(&spec.name, &Ledger::default())
                .expect("there")
        });
        for (a, b) in a.iter().zip(b.iter()) {
            assert!(
                (a - b).abs() <= 1e-6 * b.abs(),
                "{}: {a} and {b}",
                spec.name
            );
        }
    }
}

#[test]
fn rejects_the_voice_of_another_model() {
    let path = fixture("../small_pointwise/voice.safetensors");
    let file = Directory::open(&path).expect("it is a safetensors file");
    assert!(
        file.stored("transformer.layers.0.self_attn/cache", &Ledger::default())
            .expect("readable")
            .is_some()
    );
    let error = VoiceFile::open(
        &file,
        &path,
        &VoiceShape {
            layers: 3,
            heads: crate::ops::Heads {
                heads: 4,
                kv_heads: 4,
                head_dim: 16,
                context: None,
            },
        },
        &Ledger::default(),
    )
    .expect_err("the heads differ");
    assert!(matches!(error, VoiceError::Mismatch { .. }));
    assert!(
        error.to_string().contains("made for another model"),
        "{error}"
    );
}

#[test]
fn loader_rejects_another_shape_and_a_missing_tensor() {
    let weights = Weights::open(fixture("model.safetensors")).expect("it is valid");
    let ledger = Ledger::default();
    let loader = loader(&weights, &ledger);
    let message = |result: Result<Vec<f32>, WeightsError>| match result {
        Ok(_) => panic!("the tensor was accepted"),
        Err(error) => error.to_string(),
    };
    let shape = message(loader.values("flow_lm.bos_emb", &[17]));
    assert!(
        shape.contains("flow_lm.bos_emb is [16] (expected [17])"),
        "{shape}"
    );
    let missing = message(loader.values("flow_lm.absent", &[16]));
    assert!(missing.contains("1 missing: flow_lm.absent"), "{missing}");
}

#[test]
fn dry_run_counts_the_bytes_that_loading_prepares() {
    let (config, weights) = (config(), Weights::open(fixture("model.safetensors")));
    let weights = weights.expect("it is valid");
    let backend = Backend::new(&any_device());
    let run = |loader: &Loader<'_>| {
        FlowLm::load(loader, &config).expect("the weights fit the config");
        loader.prepared_bytes()
    };
    let ledger = Ledger::default();
    let loaded = run(&Loader::new(&weights, Component::FlowLm, &backend, &ledger));
    let planned = run(&Loader::dry_run(Component::FlowLm));
    if backend.uses_kernels() {
        assert_eq!(planned, loaded);
    } else {
        assert!(planned >= loaded, "{planned} < {loaded}");
    }
}

fn loader<'a>(weights: &'a Weights, ledger: &'a Ledger) -> Loader<'a> {
    let backend = Backend::new(&any_device());
    Loader::new(weights, Component::FlowLm, &backend, ledger)
}

fn any_device() -> burn::tensor::Device {
    crate::DeviceKind::ALL
        .into_iter()
        .find(|device| device.is_built_in())
        .and_then(|device| device.open().ok())
        .expect("a build has a device")
}

proptest! {
    #[test]
    fn damaged_headers_never_panic(at in 0usize..4096, flip in 1u8.., cut in 0usize..8192) {
        let mut bytes = std::fs::read(fixture("voice.safetensors")).expect("readable");
        let at = at % bytes.len();
        bytes[at] ^= flip;
        bytes.truncate(bytes.len() - cut % bytes.len());
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), &bytes).expect("it is written");
        if let Ok(weights) = Weights::open(file.path()) {
            prop_assert!(weights.check(&expected_tensors(&config())).is_err());
        }
    }
}
