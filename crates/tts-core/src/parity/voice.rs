//! Voices made here equal voices made by the reference.

use std::collections::BTreeMap;

use super::compare;
use super::fixture::{everywhere, path};
use crate::audio::Audio;
use crate::weights::{Directory, convert};

#[test]
fn an_exported_voice_has_the_reference_s_keys_shapes_and_values() {
    everywhere(|fixture| {
        let speech = Audio::read(&path("voice_24k.wav")).expect("the prompt is readable");
        let voice = fixture.model.clone_voice(&speech).expect("it clones");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ours = folder.path().join("voice.safetensors");
        fixture
            .model
            .export_voice(&voice, &ours)
            .expect("it is written");
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
            let [(found, dtype, _), (expected, ..)] = [&ours, &theirs]
                .map(|file| file.stored(name).expect("readable").expect("it is there"));
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
fn a_voice_survives_export_and_load() {
    everywhere(|fixture| {
        let voice = fixture.voice();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("voice.safetensors");
        fixture
            .model
            .export_voice(&voice, &file)
            .expect("it is written");
        let again = fixture.model.load_voice(&file).expect("it loads");
        assert_eq!(again.positions(), voice.positions());
        for (a, b) in voice.kv.layers.iter().zip(&again.kv.layers) {
            let [a, b] = [a, b].map(|layer| crate::ops::vec_from(layer.clone()).expect("readable"));
            assert_eq!(a, b);
        }
    });
}
