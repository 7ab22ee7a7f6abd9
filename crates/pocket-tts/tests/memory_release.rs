//! Release of memory. In a binary of its own, because the allocator counts the whole process.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pocket_tts::memory::{
    PoolAllocator, get_memory_pool, memory_summary, optimize_model_memory, release_idle_memory,
};
use pocket_tts::{GenerateOptions, LoadOptions, ModelSource, TtsModel};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// Runs one test at a time: all of them count the process's bytes.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    assert!(ALLOCATOR.install());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn recording() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tts-core/tests/fixtures/parity/voice_24k.wav");
    assert!(path.is_file(), "the fixture {} is missing", path.display());
    path.to_str().unwrap().to_owned()
}

fn speak(model: &TtsModel) {
    let options = GenerateOptions::default().with_seed(1);
    let voice = model.default_voice().unwrap();
    model.generate(&voice, "One.", &options).unwrap();
}

#[test]
fn an_optimized_model_reloads_its_encoder_for_cloning() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    let first = model.voice(&recording()).unwrap();
    let encoder = model.info().size.encoder_bytes.unwrap();
    let before = ALLOCATOR.stats();
    let freed = optimize_model_memory(&model);
    let after = ALLOCATOR.stats();
    assert_eq!(freed.voice_encoder_bytes, encoder);
    assert!(before.live_bytes.saturating_sub(after.live_bytes) >= freed.voice_encoder_bytes);
    assert_eq!(after.retained_bytes, 0);
    assert_eq!(model.info().size.encoder_bytes, None);

    let positions = first.positions();
    drop(first);
    model.evict_voices();
    assert_eq!(model.voice(&recording()).unwrap().positions(), positions);
    assert!(model.info().size.encoder_bytes.is_some());
}

#[test]
fn loading_optimizes_the_model_unless_disabled() {
    let _alone = alone();
    let retained_after_loading = |optimize_memory| {
        release_idle_memory();
        let mut options = LoadOptions::default();
        options.optimize_memory = optimize_memory;
        let model = TtsModel::load(ModelSource::BuiltIn, options).unwrap();
        let retained = ALLOCATOR.stats().retained_bytes;
        drop(model);
        retained
    };
    assert_eq!(retained_after_loading(true), 0);
    assert!(retained_after_loading(false) > 0);
}

#[test]
fn releases_idle_memory_and_reports_each_byte_once() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    speak(&model);
    let used = model.voice(&recording()).unwrap();
    let slt = model.voice("slt").unwrap().size_bytes();
    let allocated = || {
        let stats = ALLOCATOR.stats();
        stats.live_bytes + stats.padding_bytes + stats.retained_bytes
    };
    let idle = get_memory_pool().get_stats().idle_bytes;
    let before = allocated();
    let freed = release_idle_memory();
    let after = allocated();
    assert_eq!((freed.voices_bytes, freed.idle_tensors_bytes), (slt, idle));
    assert!(idle > 0 && freed.idle_blocks_bytes > 0, "{freed}");
    assert_eq!(ALLOCATOR.stats().retained_bytes, 0);
    // Padding is at most an eighth of the dropped blocks.
    let released = before.saturating_sub(after);
    let with_padding = freed.total_bytes() / 8 * 9 + (1 << 20);
    assert!(
        released >= freed.total_bytes() && released <= with_padding,
        "{released}: {freed}"
    );
    assert!(used.is_shared(), "a voice in use stays cached");

    // A second release finds only the allocator's blocks, and the model still speaks.
    let again = release_idle_memory();
    assert_eq!(again.total_bytes(), again.idle_blocks_bytes);
    speak(&model);
}

#[test]
fn the_summary_has_the_categories_of_a_model() {
    let _alone = alone();
    let model = TtsModel::builtin().unwrap();
    speak(&model);
    let size = model.info().size;
    let summary = memory_summary();
    let category = |name: &str| {
        let row = summary.categories.rows.iter().find(|row| row.name == name);
        row.and_then(|row| row.bytes)
            .unwrap_or_else(|| panic!("no {name} in {summary}"))
    };
    assert_eq!(
        category("weights") as u64,
        size.flow_lm_bytes + size.decoder_bytes
    );
    assert_eq!(
        category("cached voices") as u64,
        model.voice("slt").unwrap().size_bytes()
    );
    assert_eq!(category("pool idle") as u64, summary.pool.idle_bytes);
    assert!(category("scratch, other heap") > 0 && category("allocator slack") > 0);
    assert_eq!(category("KV cache"), 0);
    let allocator = summary.allocator.unwrap();
    assert!(summary.counted.total_bytes >= summary.counted.heap_bytes.unwrap());
    assert!(allocator.live_bytes > category("weights") as u64);
    let text = summary.to_string();
    for word in ["counted", "RSS", "hit rate", "allocator", "unexplained"] {
        assert!(text.contains(word), "{text}");
    }
    drop(model);
    let summary = memory_summary();
    assert_eq!(summary.categories.rows[0].bytes, Some(0), "{summary}");
}
