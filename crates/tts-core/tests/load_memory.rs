//! Loading holds the final weights and one tensor more, never two copies of a model. In a binary of
//! its own, because it counts every byte of the process.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tts_core::{Config, Model, RunOptions, expected_tensors};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every request goes to the system's allocator as it is; only sizes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is not weights: names, shapes, the thread pool, packing buffers.
const SLACK: usize = 512 * 1024;

#[test]
fn peak_heap_while_loading_is_the_final_weights_and_the_largest_tensor() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = support::fixture("lsd_bf16/config.yaml");
    let mut config = Config::read(&path).expect("the config is valid");
    // Large enough that the weights outweigh everything else.
    config.flow_lm.transformer.d_model = 512;
    config.flow_lm.lookup_table.dim = 512;
    let weights = folder.path().join("model.safetensors");
    config.weights_path = Some(tts_core::config::Location::Local(weights.clone()));
    let specs = expected_tensors(&config);
    let largest = specs
        .iter()
        .map(|spec| spec.shape.iter().product::<usize>() * size_of::<f32>())
        .max()
        .expect("a model has tensors");
    {
        // Stored as bf16, so that every tensor is converted while it is loaded.
        let zeros = vec![0u8; largest / 2];
        let views = specs.iter().map(|spec| {
            let bytes = 2 * spec.shape.iter().product::<usize>();
            let view = TensorView::new(Dtype::BF16, spec.shape.clone(), &zeros[..bytes]);
            (spec.name.clone(), view.expect("shape and bytes agree"))
        });
        let bytes = safetensors::serialize(views, None).expect("it serialises");
        std::fs::write(&weights, bytes).expect("it is written");
    }

    let parts = support::parts(config);
    let options = RunOptions {
        threads: Some(1),
        ..Default::default()
    };
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let model = Model::load(parts, options).expect("the model loads");
    let peak = PEAK.load(Ordering::Relaxed) - before;
    let kept = LIVE.load(Ordering::Relaxed).saturating_sub(before);
    println!(
        "peak {peak}, kept {kept}, largest tensor {largest}, {:?}",
        model.size()
    );
    assert!(kept > 8 * largest, "the weights should outweigh the rest");
    assert!(
        peak <= kept + largest + SLACK,
        "loading took {peak} bytes at its peak; {kept} are kept, the largest tensor has {largest}"
    );
}
