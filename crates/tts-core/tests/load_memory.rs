//! Peak memory of loading: the final weights and the largest tensor, never two copies of the model.
//!
//! A test binary of its own, because it counts all bytes of the process.

mod support;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tensor_pool::{PeakWindow, PoolAllocator};
use tts_core::{Config, Model, RunOptions, expected_tensors};

/// Retained blocks are not live, so they do not affect the counts.
#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// Bytes that are not weights: names, shapes, the thread pool, packing buffers.
const SLACK: usize = 512 * 1024;

#[test]
fn peak_heap_while_loading_is_the_final_weights_and_the_largest_tensor() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = support::fixture("lsd_bf16/config.yaml");
    let mut config = Config::read(&path).expect("the config is valid");
    // Large enough that the weights dominate.
    config.flow_lm.transformer.d_model = 512;
    config.flow_lm.lookup_table.dim = 512;
    let weights = folder.path().join("model.safetensors");
    config.weights_path = Some(weights.to_str().expect("the path is UTF-8").to_owned());
    let specs = expected_tensors(&config);
    let largest = specs
        .iter()
        .map(|spec| spec.shape.iter().product::<usize>() * size_of::<f32>())
        .max()
        .expect("a model has tensors");
    {
        // bf16, so every tensor is converted while it is loaded.
        let zeros = vec![0u8; largest / 2];
        let views = specs.iter().map(|spec| {
            let bytes = 2 * spec.shape.iter().product::<usize>();
            let view = TensorView::new(Dtype::BF16, spec.shape.clone(), &zeros[..bytes]);
            (spec.name.clone(), view.expect("shape and bytes agree"))
        });
        let bytes = safetensors::serialize(views, None).expect("it serializes");
        std::fs::write(&weights, bytes).expect("it is written");
    }

    let parts = support::parts(config, &support::fixture("lsd_bf16"));
    let options = RunOptions::default().with_threads(1);
    assert!(ALLOCATOR.install());
    let live = || ALLOCATOR.stats().live_bytes as usize;
    let before = live();
    let window = PeakWindow::new();
    let model = Model::load(parts, options).expect("the model loads");
    let peak = window.peak_bytes().expect("the allocator is installed") as usize - before;
    let loaded = live() - before;
    println!(
        "peak {peak}, loaded {loaded}, largest tensor {largest}, {:?}",
        model.size()
    );
    assert!(
        loaded > 8 * largest,
        "the largest tensor must be small compared to the model"
    );
    assert!(
        peak <= loaded + largest + SLACK,
        "loading peaks at {peak} bytes; the model takes {loaded}, the largest tensor {largest}"
    );
}
