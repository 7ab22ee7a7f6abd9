//! The kernels and the portable bodies compute the same, for any sizes.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use super::flex::HostTensor;
use super::{
    Activation, Backend, CausalConv, ConvGeometry, DepthwiseUpsample, Heads, LayerNorm, Linear,
    Rope, Vector, gated_add, modulate, tensor_from, transposed, vec_from,
};
use crate::kv::{self, KvRow, PAGE_POSITIONS, PagedKv, RingKv};
use crate::ledger::Ledger;
use crate::noise::Noise;
use crate::state::StateMemory;

/// The kernels and the portable bodies, on the same device.
fn backends() -> [Backend; 2] {
    let device = Device::flex();
    [Backend::new(&device), Backend::Portable(device)]
}

fn memory() -> StateMemory {
    StateMemory::new(Ledger::default(), &Device::flex())
}

fn noise(seed: u64, count: usize) -> Vec<f32> {
    Noise::new(seed, 1.0, None).sample(count)
}

fn random<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    tensor_from(noise(seed, shape.iter().product()), shape, &Device::flex())
}

/// Compares sums of a few hundred products of order 1 that are added in different orders.
fn close<const D: usize>([kernel, portable]: [Tensor<D>; 2]) -> Result<(), TestCaseError> {
    prop_assert_eq!(kernel.dims(), portable.dims());
    let kernel = vec_from(kernel).expect("readable");
    let portable = vec_from(portable).expect("readable");
    for (index, (a, b)) in kernel.iter().zip(&portable).enumerate() {
        let bound = 2e-4 * (1.0 + b.abs());
        prop_assert!((a - b).abs() <= bound, "element {index}: {a} and {b}");
    }
    Ok(())
}

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::Identity),
        Just(Activation::GeluTanh),
        Just(Activation::Silu),
        Just(Activation::Elu),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn kernels_match_portable_linear_layers(
        batch in 1usize..4, time in 1usize..9, inputs in 1usize..80, outputs in 1usize..80,
        has_bias: bool, activation in activations(), seed: u64,
    ) {
        let weights = noise(seed, inputs * outputs);
        let bias = noise(seed ^ 1, outputs);
        let layers = backends().map(|backend| {
            Linear::new(&weights, [outputs, inputs], has_bias.then_some(&bias), &backend)
        });
        let x = random(seed ^ 2, [batch, time, inputs]);
        let sum = random(seed ^ 3, [batch, time, outputs]);
        close(layers.each_ref().map(|layer| layer.forward(x.clone(), activation)))?;
        close(layers.each_ref().map(|layer| layer.forward_add(x.clone(), sum.clone())))?;
    }

    #[test]
    fn kernels_match_portable_layer_norms(batch in 1usize..4, time in 1usize..9, width in 2usize..80, seed: u64) {
        let (scale, offset) = (noise(seed, width), noise(seed ^ 1, width));
        let x = random(seed ^ 2, [batch, time, width]);
        close(backends().map(|backend| {
            LayerNorm::new(&scale, &offset, 1e-5, &backend).forward(&x)
        }))?;
    }

    #[test]
    fn kernels_match_portable_modulation(batch in 1usize..4, width in 2usize..80, own_norm: bool, seed: u64) {
        let x = random(seed, [batch, 1, width]);
        let update = random(seed ^ 1, [batch, 1, width]);
        let condition = random(seed ^ 2, [batch, 1, 3 * width]);
        let epsilon = own_norm.then_some(1e-6);
        close(backends().map(|backend| modulate(x.clone(), &condition, epsilon, &backend)))?;
        close(backends().map(|backend| {
            gated_add(x.clone(), update.clone(), &condition, &backend)
        }))?;
    }

    #[test]
    fn kernels_match_portable_convolutions_in_calls_of_any_size(
        batch in 1usize..3, inputs in 1usize..20, outputs in 1usize..20, kernel in 1usize..8,
        stride in 1usize..4, dilation in 1usize..4, replicate: bool, is_transposed: bool,
        calls in proptest::collection::vec(1usize..5, 1..4), before in activations(), seed: u64,
    ) {
        let dilation = if stride > 1 || is_transposed { 1 } else { dilation };
        // As in every model, the kernel is at least as wide as the stride.
        let kernel = kernel.max(stride);
        let geometry = ConvGeometry { inputs, outputs, kernel, stride, dilation, replicate };
        let weights = noise(seed, inputs * outputs * kernel);
        let bias = noise(seed ^ 1, outputs);
        let run = |backend: &Backend, calls: &[usize]| {
            let make = if is_transposed { CausalConv::transposed } else { CausalConv::new };
            let conv = make(&weights, Some(&bias), geometry, backend);
            let inputs_per_output = if is_transposed { 1 } else { stride };
            let total: usize = calls.iter().sum();
            let x = random(seed ^ 2, [batch, total * inputs_per_output, inputs]);
            let mut state = conv.state(batch, &memory()).unwrap();
            let (mut start, mut outputs) = (0, Vec::new());
            for call in calls {
                let end = start + call * inputs_per_output;
                let input = x.clone().slice([0..batch, start..end, 0..inputs]);
                outputs.push(conv.forward(input, &mut state, before, backend));
                start = end;
            }
            Tensor::cat(outputs, 1)
        };
        let [kernels, portable] = backends();
        let whole = [calls.iter().sum::<usize>()];
        close([run(&kernels, &calls), run(&portable, &calls)])?;
        close([run(&kernels, &calls), run(&portable, &whole)])?;
    }

    #[test]
    fn kernels_match_portable_upsampling_in_calls_of_any_size(
        batch in 1usize..3, channels in 1usize..20, stride in 2usize..6,
        calls in proptest::collection::vec(1usize..4, 1..4), seed: u64,
    ) {
        let weights = noise(seed, channels * 2 * stride);
        close(backends().map(|backend| {
            let rows = transposed(&weights, [channels, 2 * stride]);
            let weight = Vector::new(&rows, &backend);
            let upsample = DepthwiseUpsample::new(weight, channels, stride);
            let mut state = upsample.state(batch, &memory()).unwrap();
            let outputs = calls.iter().enumerate().map(|(call, &time)| {
                let x = random(seed ^ call as u64, [batch, time, channels]);
                upsample.forward(x, &mut state)
            });
            Tensor::cat(outputs.collect::<Vec<_>>(), 1)
        }))?;
    }

    #[test]
    fn kernels_match_portable_attention_in_a_ring(
        batch in 1usize..3, kv_heads in 1usize..3, group in 1usize..3, pairs in 1usize..20,
        context in 1usize..9, calls in proptest::collection::vec(1usize..14, 1..5), seed: u64,
    ) {
        let heads = Heads {
            heads: kv_heads * group, kv_heads, head_dim: 2 * pairs, context: Some(context),
        };
        let rope = Rope::new(heads.head_dim, 10_000.0);
        close(backends().map(|backend| {
            let mut ring = RingKv::new(batch, context, &heads, &memory()).unwrap();
            let mut position = 0;
            let outputs = calls.iter().enumerate().map(|(call, &time)| {
                let qkv = random(seed ^ call as u64, [batch, time, heads.qkv_width()]);
                let table = rope.table(&[position], time);
                position += time;
                ring.attend(qkv, &heads, &table, &backend)
            });
            Tensor::cat(outputs.collect::<Vec<_>>(), 1)
        }))?;
    }

    #[test]
    fn kernels_match_portable_attention_over_pages(
        kv_heads in 1usize..3, group in 1usize..3, pairs in 1usize..20, voice_len in 0usize..5,
        ahead in proptest::collection::vec(0usize..70, 1..4),
        calls in proptest::collection::vec(1usize..PAGE_POSITIONS, 1..4), seed: u64,
    ) {
        let heads = Heads { heads: kv_heads * group, kv_heads, head_dim: 2 * pairs, context: None };
        let rope = Rope::new(heads.head_dim, 10_000.0);
        let voice = (voice_len > 0)
            .then(|| random(seed ^ 99, [2, 1, voice_len, kv_heads, heads.head_dim]));
        close(backends().map(|backend| {
            // Each row has another number of positions before they advance together.
            let mut rows: Vec<PagedKv> = Vec::new();
            for (row, &time) in ahead.iter().enumerate() {
                let mut cache = PagedKv::new(&heads, &memory()).unwrap();
                if time > 0 {
                    let qkv = random(seed ^ (7 + row as u64), [1, time, heads.qkv_width()]);
                    cache.reserve(time).unwrap();
                    let table = rope.table(&[voice_len], time);
                    let voice = voice.as_ref();
                    let mut alone = [KvRow { cache: &mut cache, voice }];
                    kv::attend(&mut alone, qkv, &heads, &table, &backend);
                }
                rows.push(cache);
            }
            let outputs = calls.iter().enumerate().map(|(call, &time)| {
                let qkv = random(seed ^ call as u64, [rows.len(), time, heads.qkv_width()]);
                let starts: Vec<usize> = rows.iter().map(|cache| voice_len + cache.len()).collect();
                let table = rope.table(&starts, time);
                let mut rows: Vec<_> = rows
                    .iter_mut()
                    .map(|cache| KvRow { cache, voice: voice.as_ref() })
                    .collect();
                rows.iter_mut().for_each(|row| row.cache.reserve(time).unwrap());
                kv::attend(&mut rows, qkv, &heads, &table, &backend)
            });
            Tensor::cat(outputs.collect::<Vec<_>>(), 1)
        }))?;
    }
}

#[test]
fn state_is_updated_in_place_on_flex() {
    let [backend, _] = backends();
    let heads = Heads {
        heads: 2,
        kv_heads: 2,
        head_dim: 8,
        context: Some(4),
    };
    let rope = Rope::new(8, 10_000.0);
    let address = |tensor: &Tensor<5>| {
        let host = HostTensor::new(tensor.clone());
        host.values().as_ptr() as usize
    };
    let mut ring = RingKv::new(1, 4, &heads, &memory()).unwrap();
    let mut pages = PagedKv::new(&heads, &memory()).unwrap();
    let mut addresses = Vec::new();
    for position in 0..10 {
        let table = rope.table(&[position], 1);
        let qkv = random(position as u64, [1, 1, heads.qkv_width()]);
        ring.attend(qkv.clone(), &heads, &table, &backend);
        pages.reserve(1).unwrap();
        let mut rows = [KvRow {
            cache: &mut pages,
            voice: None,
        }];
        kv::attend(&mut rows, qkv, &heads, &table, &backend);
        addresses.push((address(ring.tensor()), address(&pages.pages().pages()[0])));
    }
    assert!(addresses.iter().all(|address| *address == addresses[0]));
}

#[test]
fn full_pages_are_never_moved() {
    let [backend, _] = backends();
    let heads = Heads {
        heads: 1,
        kv_heads: 1,
        head_dim: 2,
        context: None,
    };
    let rope = Rope::new(2, 10_000.0);
    let mut pages = PagedKv::new(&heads, &memory()).unwrap();
    let mut first_page = None;
    for position in 0..3 * PAGE_POSITIONS {
        let table = rope.table(&[position], 1);
        let qkv = random(position as u64, [1, 1, heads.qkv_width()]);
        pages.reserve(1).unwrap();
        let mut rows = [KvRow {
            cache: &mut pages,
            voice: None,
        }];
        kv::attend(&mut rows, qkv, &heads, &table, &backend);
        let host = HostTensor::new(Tensor::clone(&pages.pages().pages()[0]));
        let address = host.values().as_ptr() as usize;
        assert_eq!(*first_page.get_or_insert(address), address);
    }
    assert_eq!(pages.pages().pages().len(), 3);
}
