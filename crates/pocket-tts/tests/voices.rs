//! The voice cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use pocket_tts::{LoadOptions, ModelSource, TtsModel, Voice};

/// Loads the built-in model with a cache for `voices` copies of its voice.
fn model_with_room_for(voices: u64) -> TtsModel {
    let bytes = TtsModel::builtin()
        .unwrap()
        .voice("slt")
        .unwrap()
        .size_bytes();
    let options = LoadOptions::default().with_voice_cache_bytes(voices * bytes);
    TtsModel::load(ModelSource::BuiltIn, options).unwrap()
}

/// Exports the built-in voice to files.
fn copies(folder: &Path, model: &TtsModel, names: &[&str]) -> Vec<PathBuf> {
    let voice = model.voice("slt").unwrap();
    let copy = |name: &&str| {
        let path = folder.join(format!("{name}.safetensors"));
        model.export_voice(&voice, &path).unwrap();
        path
    };
    names.iter().map(copy).collect()
}

fn load(model: &TtsModel, path: &Path) -> Voice {
    model.voice(path.to_str().unwrap()).unwrap()
}

#[test]
fn a_cached_voice_is_shared() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with_room_for(1);
    let other = copies(folder.path(), &model, &["other"]).remove(0);
    let [first, second] = [(); 2].map(|()| model.voice("slt").unwrap());
    // The cache holds only the other voice now, so these two share with each other.
    load(&model, &other);
    assert!(first.is_shared() && second.is_shared());
    drop(first);
    assert!(!second.is_shared());
}

#[test]
fn a_cache_without_capacity_holds_no_voice() {
    let model = model_with_room_for(0);
    assert!(!model.voice("slt").unwrap().is_shared());
    assert_eq!(model.evict_voices(), 0);
}

#[test]
fn evicts_the_least_recently_used_voice() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with_room_for(2);
    let paths = copies(folder.path(), &model, &["a", "b", "c"]);
    let [a, b] = [0, 1].map(|file| load(&model, &paths[file]));
    drop(load(&model, &paths[0]));
    let c = load(&model, &paths[2]);
    assert_eq!(
        [a, b, c].map(|voice| voice.is_shared()),
        [true, false, true]
    );
}

#[test]
fn reloads_a_changed_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with_room_for(9);
    let path = copies(folder.path(), &model, &["voice"]).remove(0);
    let before = load(&model, &path);
    assert!(before.is_shared());

    // The same length, but another modification time.
    let hour = Duration::from_secs(3600);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - hour).unwrap();
    drop(file);
    let after = load(&model, &path);
    assert!(!before.is_shared() && after.is_shared());

    // A damaged file is rejected, not served from the cache.
    fs::write(&path, "no voice").unwrap();
    assert!(model.voice(path.to_str().unwrap()).is_err());
}

#[test]
fn eviction_skips_voices_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with_room_for(9);
    let paths = copies(folder.path(), &model, &["used", "unused"]);
    model.evict_voices();
    let used = load(&model, &paths[0]);
    drop(load(&model, &paths[1]));
    let bytes = used.size_bytes();
    assert_eq!(model.evict_voices(), bytes);
    assert!(used.is_shared());
    drop(used);
    assert_eq!(model.evict_voices(), bytes);
    assert_eq!(model.evict_voices(), 0);
}

#[test]
fn concurrent_loads_share_one_voice() {
    let model = model_with_room_for(9);
    let voices: Vec<Voice> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| model.voice("slt").unwrap()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let bytes = voices[0].size_bytes();
    assert_eq!(model.evict_voices(), 0);
    drop(voices);
    assert_eq!(model.evict_voices(), bytes);
}
