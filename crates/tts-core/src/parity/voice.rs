//! Cloned and exported voices.

use std::collections::BTreeMap;

use super::compare;
use super::fixture::{for_all_models, path};
use crate::audio::Audio;
use crate::ledger::Ledger;
use crate::weights::{Directory, convert};

#[test]
fn exported_voice_equals_the_reference() {
    for_all_models(|fixture| {
        let speech = Audio::read(path("voice_24k.wav")).expect("the prompt is readable");
        let voice = fixture
            .model
            .clone_voice(&speech)
            .expect("cloning succeeds");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ours = folder.path().join("voice.safetensors");
        fixture
            .model
            .export_voice(&voice, &ours)
            .expect("the voice is written");
        let theirs = path(fixture.name).join("voice.safetensors");

        let keys = |path| -> BTreeMap<String, (String, Vec<usize>)> {
            let bytes = std::fs::read(path).expect("readable");
            let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a header");
            header
                .tensors()
                .into_iter()
                .map(|(name, info)| (name, (format!("{:?}", info.dtype), info.shape.clone())))
                .collect()
        };
        let names = keys(&ours);
        assert_eq!(names, keys(&theirs), "{}", fixture.name);

        let [ours, theirs] = [&ours, &theirs].map(|path| Directory::open(path).expect("readable"));
        for name in names.keys() {
            let [(found, dtype, _), (expected, ..)] = [&ours, &theirs].map(|file| {
                file.stored(name, &Ledger::default())
                    .expect("readable")
                    .expect("the tensor exists")
            });
            if name.ends_with("/cache") {
                let floats = |bytes: &[u8]| {
                    let mut values = vec![0.0; bytes.len() / 4];
                    convert(bytes, dtype, &mut values);
                    values
                };
                let what = format!("{} voice {name}", fixture.name);
                compare::tensor(&what, fixture.device, &floats(&found), &floats(&expected));
            } else {
                assert_eq!(found[..], expected[..], "{} {name}", fixture.name);
            }
        }
    });
}

#[test]
fn exported_voice_loads_unchanged() {
    for_all_models(|fixture| {
        let voice = fixture.voice();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("voice.safetensors");
        fixture
            .model
            .export_voice(&voice, &file)
            .expect("the voice is written");
        let again = fixture.model.load_voice(&file).expect("the voice loads");
        assert_eq!(again.positions(), voice.positions());
        for (a, b) in voice.kv.layers.iter().zip(&again.kv.layers) {
            let [a, b] = [a, b].map(|layer| crate::ops::vec_from(layer.clone()).expect("readable"));
            assert_eq!(a, b);
        }
    });
}
