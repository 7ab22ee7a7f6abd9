//! Random sequences of leases, writes and returns, compared with a list of the leased tensors.

use burn::backend::Flex;
use burn::tensor::{DType, Device, Tensor};
use proptest::prelude::*;
use tensor_pool::{MemoryPool, PoolOptions, PooledTensor};

const SHAPES: [[usize; 2]; 3] = [[2, 3], [3, 2], [4, 4]];
const MAX_POOL_SIZE: usize = 2;
const MAX_IDLE: u64 = 128;

#[derive(Clone, Debug)]
enum Step {
    Lease(usize),
    Write(usize),
    /// Returns a tensor of which a clone stays alive.
    ReturnShared(usize),
    ReturnTransposed(usize),
    Return(usize),
    Detach(usize),
    Trim(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..SHAPES.len()).prop_map(Step::Lease),
        2 => any::<usize>().prop_map(Step::Write),
        1 => any::<usize>().prop_map(Step::ReturnShared),
        1 => any::<usize>().prop_map(Step::ReturnTransposed),
        3 => any::<usize>().prop_map(Step::Return),
        1 => any::<usize>().prop_map(Step::Detach),
        1 => (0u64..128).prop_map(Step::Trim),
    ];
    proptest::collection::vec(step, 1..60)
}

fn values(tensor: &Tensor<2>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec().unwrap()
}

fn address(tensor: &Tensor<2>) -> usize {
    let flex = tensor.clone().try_into_primitive::<Flex>().unwrap();
    flex.storage::<f32>().as_ptr() as usize
}

proptest! {
    #[test]
    fn leases_are_zeroed_unshared_and_counted(steps in steps()) {
        let pool = MemoryPool::with_options(PoolOptions {
            max_pool_size: MAX_POOL_SIZE,
            max_idle_bytes: MAX_IDLE,
            ..PoolOptions::default()
        });
        let device = Device::flex();
        let mut leased: Vec<PooledTensor<2>> = Vec::new();
        // Clones of returned tensors, and their expected values.
        let mut clones: Vec<(Tensor<2>, Vec<f32>)> = Vec::new();
        let (mut leases, mut mark) = (0, 0.0);
        for step in steps {
            let take = |leased: &mut Vec<PooledTensor<2>>, index: usize| {
                (!leased.is_empty()).then(|| leased.swap_remove(index % leased.len()))
            };
            match step {
                Step::Lease(shape) => {
                    let tensor = pool.get_tensor(SHAPES[shape], DType::F32, &device).unwrap();
                    prop_assert!(values(&tensor).iter().all(|value| *value == 0.0));
                    leases += 1;
                    leased.push(tensor);
                }
                Step::Write(index) if !leased.is_empty() => {
                    mark += 1.0;
                    let index = index % leased.len();
                    leased[index].update(|tensor| tensor + mark);
                }
                Step::ReturnShared(index) => {
                    if let Some(tensor) = take(&mut leased, index) {
                        clones.push((Tensor::clone(&tensor), values(&tensor)));
                    }
                }
                Step::ReturnTransposed(index) => {
                    if let Some(mut tensor) = take(&mut leased, index) {
                        tensor.update(Tensor::transpose);
                    }
                }
                Step::Return(index) => drop(take(&mut leased, index)),
                Step::Detach(index) => {
                    if let Some(tensor) = take(&mut leased, index) {
                        let tensor = tensor.detach();
                        clones.push((tensor.clone(), values(&tensor)));
                    }
                }
                Step::Trim(keep) => {
                    let before = pool.get_stats().idle_bytes;
                    let freed = pool.trim(keep);
                    prop_assert_eq!(before - freed, pool.get_stats().idle_bytes);
                    prop_assert!(pool.get_stats().idle_bytes <= keep);
                }
                Step::Write(_) => {}
            }
            let stats = pool.get_stats();
            prop_assert_eq!(stats.hits + stats.misses, leases);
            prop_assert_eq!(stats.in_use_bytes, leased.iter().map(|tensor| tensor.bytes()).sum::<u64>());
            prop_assert_eq!(pool.outstanding().len(), leased.len());
            prop_assert!(stats.idle_bytes <= MAX_IDLE);
            prop_assert!(stats.pooled_tensors <= MAX_POOL_SIZE * SHAPES.len());
            let mut addresses: Vec<_> = leased.iter().map(|tensor| address(tensor)).collect();
            addresses.extend(clones.iter().map(|(tensor, _)| address(tensor)));
            addresses.sort_unstable();
            addresses.dedup();
            prop_assert_eq!(addresses.len(), leased.len() + clones.len());
            for (tensor, expected) in &clones {
                prop_assert_eq!(&values(tensor), expected);
            }
        }
    }
}
