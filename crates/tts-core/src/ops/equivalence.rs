//! The Flex kernels compute what the portable bodies compute, for any sizes.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use tensor_pool::MemoryPool;

use super::{
    Activation, CausalConv, ConvGeometry, DepthwiseUpsample, Heads, LayerNorm, Linear, Placement,
    Rope, gated_add, modulate, tensor_from, vec_from,
};
use crate::kv::{self, KvRow, PAGE_STEPS, PagedKv, RingKv};
use crate::noise::Noise;
use crate::state::StateMemory;

/// Kernels first, portable bodies second, on the same device.
fn placements() -> [Placement; 2] {
    let device = Device::flex();
    [Placement::new(&device), Placement::portable(&device)]
}

/// Where states are leased.
fn memory() -> StateMemory {
    StateMemory::new(MemoryPool::default(), &Device::flex())
}

fn noise(seed: u64, count: usize) -> Vec<f32> {
    Noise::new(seed, 1.0, None).take(count)
}

fn random<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    tensor_from(noise(seed, shape.iter().product()), shape, &Device::flex())
}

/// Sums of a few hundred products of order 1, in another order.
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
    fn linear_layers(
        batch in 1usize..4, time in 1usize..9, inputs in 1usize..80, outputs in 1usize..80,
        has_bias: bool, activation in activations(), seed: u64,
    ) {
        let weights = noise(seed, inputs * outputs);
        let bias = noise(seed ^ 1, outputs);
        let layers = placements().map(|placement| {
            Linear::new(&weights, [outputs, inputs], has_bias.then_some(&bias), &placement)
        });
        let x = random(seed ^ 2, [batch, time, inputs]);
        let sum = random(seed ^ 3, [batch, time, outputs]);
        close(layers.each_ref().map(|layer| layer.forward(x.clone(), activation)))?;
        close(layers.each_ref().map(|layer| layer.forward_add(x.clone(), sum.clone())))?;
    }

    #[test]
    fn layer_normalisation(batch in 1usize..4, time in 1usize..9, width in 2usize..80, seed: u64) {
        let (scale, offset) = (noise(seed, width), noise(seed ^ 1, width));
        let x = random(seed ^ 2, [batch, time, width]);
        close(placements().map(|placement| {
            LayerNorm::new(&scale, &offset, 1e-5, &placement).forward(&x)
        }))?;
    }

    #[test]
    fn adaptive_normalisation(batch in 1usize..4, width in 2usize..80, own_norm: bool, seed: u64) {
        let x = random(seed, [batch, 1, width]);
        let update = random(seed ^ 1, [batch, 1, width]);
        let condition = random(seed ^ 2, [batch, 1, 3 * width]);
        let epsilon = own_norm.then_some(1e-6);
        close([true, false].map(|kernels| modulate(x.clone(), &condition, epsilon, kernels)))?;
        close([true, false].map(|kernels| {
            gated_add(x.clone(), update.clone(), &condition, kernels)
        }))?;
    }

    #[test]
    fn convolutions_in_calls_of_any_size(
        batch in 1usize..3, inputs in 1usize..20, outputs in 1usize..20, kernel in 1usize..8,
        stride in 1usize..4, dilation in 1usize..4, replicate: bool, is_transposed: bool,
        calls in proptest::collection::vec(1usize..5, 1..4), before in activations(), seed: u64,
    ) {
        let dilation = if stride > 1 || is_transposed { 1 } else { dilation };
        // As in every model: a convolution reaches at least one step further than it strides.
        let kernel = kernel.max(stride);
        let geometry = ConvGeometry { inputs, outputs, kernel, stride, dilation, replicate };
        let weights = noise(seed, inputs * outputs * kernel);
        let bias = noise(seed ^ 1, outputs);
        let run = |placement: &Placement, calls: &[usize]| {
            let make = if is_transposed { CausalConv::transposed } else { CausalConv::new };
            let conv = make(&weights, Some(&bias), geometry, placement);
            let step = if is_transposed { 1 } else { stride };
            let total: usize = calls.iter().sum();
            let x = random(seed ^ 2, [batch, total * step, inputs]);
            let mut state = conv.state(batch, &memory()).unwrap();
            let (mut start, mut parts) = (0, Vec::new());
            for call in calls {
                let end = start + call * step;
                let part = x.clone().slice([0..batch, start..end, 0..inputs]);
                parts.push(conv.forward(part, &mut state, before, placement));
                start = end;
            }
            Tensor::cat(parts, 1)
        };
        let [kernels, portable] = placements();
        let whole = [calls.iter().sum::<usize>()];
        close([run(&kernels, &calls), run(&portable, &calls)])?;
        close([run(&kernels, &calls), run(&portable, &whole)])?;
    }

    #[test]
    fn upsampling_in_calls_of_any_size(
        batch in 1usize..3, channels in 1usize..20, stride in 2usize..6,
        calls in proptest::collection::vec(1usize..4, 1..4), seed: u64,
    ) {
        let weights = noise(seed, channels * 2 * stride);
        close(placements().map(|placement| {
            let upsample = DepthwiseUpsample::new(&weights, channels, stride, &placement);
            let mut state = upsample.state(batch, &memory()).unwrap();
            let parts = calls.iter().enumerate().map(|(call, &time)| {
                let x = random(seed ^ call as u64, [batch, time, channels]);
                upsample.forward(x, &mut state)
            });
            Tensor::cat(parts.collect::<Vec<_>>(), 1)
        }))?;
    }

    #[test]
    fn attention_in_a_ring(
        batch in 1usize..3, kv_heads in 1usize..3, group in 1usize..3, pairs in 1usize..20,
        context in 1usize..9, calls in proptest::collection::vec(1usize..14, 1..5), seed: u64,
    ) {
        let heads = Heads {
            heads: kv_heads * group, kv_heads, head_dim: 2 * pairs, context: Some(context),
        };
        let rope = Rope::new(heads.head_dim, 10_000.0);
        close(placements().map(|placement| {
            let mut ring = RingKv::new(batch, context, &heads, &memory()).unwrap();
            let mut position = 0;
            let parts = calls.iter().enumerate().map(|(call, &time)| {
                let qkv = random(seed ^ call as u64, [batch, time, heads.qkv_width()]);
                let table = rope.table(&[position], time);
                position += time;
                ring.attend(qkv, &heads, &table, &placement)
            });
            Tensor::cat(parts.collect::<Vec<_>>(), 1)
        }))?;
    }

    #[test]
    fn attention_over_pages(
        kv_heads in 1usize..3, group in 1usize..3, pairs in 1usize..20, voice_len in 0usize..5,
        ahead in proptest::collection::vec(0usize..70, 1..4),
        calls in proptest::collection::vec(1usize..PAGE_STEPS, 1..4), seed: u64,
    ) {
        let heads = Heads { heads: kv_heads * group, kv_heads, head_dim: 2 * pairs, context: None };
        let rope = Rope::new(heads.head_dim, 10_000.0);
        let voice = (voice_len > 0)
            .then(|| random(seed ^ 99, [2, 1, voice_len, kv_heads, heads.head_dim]));
        close(placements().map(|placement| {
            // Each row has kept another number of steps before they advance together.
            let mut rows: Vec<PagedKv> = Vec::new();
            for (row, &time) in ahead.iter().enumerate() {
                let mut kept = PagedKv::new(&heads, &memory()).unwrap();
                if time > 0 {
                    let qkv = random(seed ^ (7 + row as u64), [1, time, heads.qkv_width()]);
                    kept.reserve(time).unwrap();
                    let table = rope.table(&[voice_len], time);
                    let voice = voice.as_ref();
                    let mut alone = [KvRow { kept: &mut kept, voice }];
                    kv::attend(&mut alone, qkv, &heads, &table, &placement);
                }
                rows.push(kept);
            }
            let parts = calls.iter().enumerate().map(|(call, &time)| {
                let qkv = random(seed ^ call as u64, [rows.len(), time, heads.qkv_width()]);
                let starts: Vec<usize> = rows.iter().map(|kept| voice_len + kept.len()).collect();
                let table = rope.table(&starts, time);
                let mut rows: Vec<_> = rows
                    .iter_mut()
                    .map(|kept| KvRow { kept, voice: voice.as_ref() })
                    .collect();
                rows.iter_mut().for_each(|row| row.kept.reserve(time).unwrap());
                kv::attend(&mut rows, qkv, &heads, &table, &placement)
            });
            Tensor::cat(parts.collect::<Vec<_>>(), 1)
        }))?;
    }
}

#[test]
fn state_is_updated_in_place_on_flex() {
    let [placement, _] = placements();
    let heads = Heads {
        heads: 2,
        kv_heads: 2,
        head_dim: 8,
        context: Some(4),
    };
    let rope = Rope::new(8, 10_000.0);
    let address = |tensor: &Tensor<5>| {
        let flex = super::flex::open(tensor.clone());
        flex.storage::<f32>().as_ptr() as usize
    };
    let mut ring = RingKv::new(1, 4, &heads, &memory()).unwrap();
    let mut pages = PagedKv::new(&heads, &memory()).unwrap();
    let mut addresses = Vec::new();
    for step in 0..10 {
        let table = rope.table(&[step], 1);
        let qkv = random(step as u64, [1, 1, heads.qkv_width()]);
        ring.attend(qkv.clone(), &heads, &table, &placement);
        pages.reserve(1).unwrap();
        let mut rows = [KvRow {
            kept: &mut pages,
            voice: None,
        }];
        kv::attend(&mut rows, qkv, &heads, &table, &placement);
        addresses.push((address(ring.tensor()), address(&pages.pages().pages()[0])));
    }
    assert!(addresses.iter().all(|address| *address == addresses[0]));
}

#[test]
fn full_pages_never_move() {
    let [placement, _] = placements();
    let heads = Heads {
        heads: 1,
        kv_heads: 1,
        head_dim: 2,
        context: None,
    };
    let rope = Rope::new(2, 10_000.0);
    let mut pages = PagedKv::new(&heads, &memory()).unwrap();
    let mut first_page = None;
    for step in 0..3 * PAGE_STEPS {
        let table = rope.table(&[step], 1);
        let qkv = random(step as u64, [1, 1, heads.qkv_width()]);
        pages.reserve(1).unwrap();
        let mut rows = [KvRow {
            kept: &mut pages,
            voice: None,
        }];
        kv::attend(&mut rows, qkv, &heads, &table, &placement);
        let flex = super::flex::open(Tensor::clone(&pages.pages().pages()[0]));
        let address = flex.storage::<f32>().as_ptr() as usize;
        assert_eq!(*first_page.get_or_insert(address), address);
    }
    assert_eq!(pages.pages().pages().len(), 3);
}
