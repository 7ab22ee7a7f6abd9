//! The tensor pool on Flex.

use std::collections::HashSet;
use std::sync::Mutex;

use burn::backend::Flex;
use burn::tensor::{Bool, DType, Device, Int, Tensor};
use tensor_pool::{Budget, Error, MemoryPool, PoolOptions, PooledTensor, Reuse, TensorRequest};

fn address<const D: usize>(tensor: &Tensor<D>) -> usize {
    let flex = tensor.clone().try_into_primitive::<Flex>().unwrap();
    flex.storage::<f32>().as_ptr() as usize
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec().unwrap()
}

fn floats<const D: usize>(pool: &MemoryPool, shape: [usize; D]) -> PooledTensor<D> {
    pool.get_tensor(shape, DType::F32, &Device::flex()).unwrap()
}

#[test]
fn data_pointer_is_unchanged_after_lease_write_return_lease() {
    let pool = MemoryPool::default();
    let mut tensor = floats(&pool, [4, 8]);
    let first = address(&tensor);
    tensor.update(|t| t + 1.0);
    assert_eq!(address(&tensor), first, "the write was not in place");
    pool.return_tensor(tensor);
    let tensor = floats(&pool, [4, 8]);
    assert_eq!(address(&tensor), first);
    assert_eq!(values(&tensor), [0.0; 32]);
}

#[test]
fn zeroing_removes_all_old_values_including_nan() {
    let pool = MemoryPool::default();
    let mut tensor = floats(&pool, [3, 5]);
    tensor.update(|t| t + f32::NAN);
    drop(tensor);
    assert_eq!(values(&floats(&pool, [3, 5])), [0.0; 15]);
    assert_eq!(pool.get_stats().hits, 1);
}

#[test]
fn tensor_leased_as_is_contains_nan_in_debug_builds() {
    let pool = MemoryPool::default();
    let request = || TensorRequest::new([6], DType::F32, &Device::flex()).reuse(Reuse::AsIs);
    for round in 0..2 {
        let mut tensor = pool.lease(request()).unwrap();
        let all_nan = values(&tensor).iter().all(|value| value.is_nan());
        assert_eq!(all_nan, cfg!(debug_assertions), "round {round}");
        tensor.update(|t| t.zeros_like() + 3.0);
    }
}

#[test]
fn live_clone_of_a_returned_tensor_never_changes() {
    let pool = MemoryPool::default();
    let mut tensor = floats(&pool, [4]);
    tensor.update(|t| t + 5.0);
    let clone = Tensor::clone(&tensor);
    drop(tensor);
    let stats = pool.get_stats();
    assert_eq!((stats.dropped_shared, stats.pooled_tensors), (1, 0));
    let mut other = floats(&pool, [4]);
    other.update(|t| t + 7.0);
    assert_eq!(values(&clone), [5.0; 4]);
}

#[test]
fn clone_dropped_before_the_return_does_not_prevent_pooling() {
    let pool = MemoryPool::default();
    let tensor = floats(&pool, [4]);
    drop(Tensor::clone(&tensor));
    drop(tensor);
    assert_eq!(pool.get_stats().pooled_tensors, 1);
}

#[test]
fn tensor_with_changed_shape_or_layout_is_dropped_and_counted() {
    let pool = MemoryPool::default();
    let mut reshaped = floats(&pool, [2, 6]);
    reshaped.update(|t| t.reshape([3, 4]));
    drop(reshaped);
    assert_eq!(pool.get_stats().dropped_changed, 1);

    // Same shape and not shared, but transposed.
    let mut transposed = floats(&pool, [3, 3]);
    transposed.update(Tensor::transpose);
    assert!(transposed.can_mut());
    drop(transposed);
    assert_eq!(pool.get_stats().dropped_changed, 2);

    // Same shape, but a view into a larger buffer.
    let mut narrowed = floats(&pool, [2, 2]);
    narrowed.update(|t| Tensor::cat(vec![t.clone(), t], 0).slice([1..3, 0..2]));
    drop(narrowed);
    let stats = pool.get_stats();
    assert_eq!((stats.dropped_changed, stats.pooled_tensors), (3, 0));
}

#[test]
fn idle_tensor_serves_only_its_shape_and_type() {
    let pool = MemoryPool::default();
    drop(floats(&pool, [2, 3]));
    drop(floats(&pool, [3, 2]));
    drop(
        pool.get_tensor([2, 3], DType::F64, &Device::flex())
            .unwrap(),
    );
    let stats = pool.get_stats();
    assert_eq!((stats.hits, stats.misses, stats.keys), (0, 3, 3));
    assert_eq!(stats.idle_bytes, 24 + 24 + 48);
}

#[test]
fn tensors_of_every_kind_are_leased_zeroed() {
    let (pool, device) = (MemoryPool::default(), Device::flex());
    for round in 0..2 {
        let mut ints: PooledTensor<1, Int> = pool
            .lease(TensorRequest::int([4], DType::I32, &device))
            .unwrap();
        let found: Vec<i32> = Tensor::clone(&ints).into_data().try_into_vec().unwrap();
        assert_eq!(found, [0; 4], "round {round}");
        ints.update(|t| t + 1);
        let dtype = Tensor::<1, Bool>::from_data([true], &device).dtype();
        let mut bools: PooledTensor<1, Bool> = pool
            .lease(TensorRequest::bool([4], dtype, &device))
            .unwrap();
        assert!(
            !Tensor::clone(&bools).any().into_scalar::<bool>(),
            "round {round}"
        );
        bools.update(Tensor::bool_not);
        for dtype in [DType::F64, DType::F16, DType::BF16] {
            let mut halves = pool.get_tensor([4], dtype, &device).unwrap();
            let sum = Tensor::clone(&halves).cast(DType::F32).sum();
            assert_eq!(sum.into_scalar::<f32>(), 0.0, "round {round}, {dtype:?}");
            halves.update(|t| t + 2.0);
        }
    }
    assert_eq!(pool.get_stats().hits, 5);
}

#[test]
fn idle_tensors_are_limited_by_number_and_bytes() {
    let pool = MemoryPool::new(2);
    let leased: Vec<_> = (0..3).map(|_| floats(&pool, [8])).collect();
    drop(leased);
    let stats = pool.get_stats();
    assert_eq!((stats.pooled_tensors, stats.dropped_full), (2, 1));

    let pool = MemoryPool::new(0);
    drop(floats(&pool, [8]));
    assert_eq!(pool.get_stats().pooled_tensors, 0);

    let pool = MemoryPool::with_options(PoolOptions {
        max_idle_bytes: 100,
        ..PoolOptions::default()
    });
    let leased = [floats(&pool, [16]), floats(&pool, [16])];
    drop(leased);
    let stats = pool.get_stats();
    assert_eq!((stats.idle_bytes, stats.dropped_full), (64, 1));
}

/// Leases `count` tensors of a shape together, returns them to the pool, and returns their addresses.
fn lease_together(pool: &MemoryPool, shape: [usize; 2], count: usize) -> Vec<usize> {
    let tensors: Vec<_> = (0..count).map(|_| floats(pool, shape)).collect();
    tensors.iter().map(|tensor| address(tensor)).collect()
}

#[test]
fn max_pool_size_can_be_lowered_and_raised_while_tensors_are_leased() {
    let pool = MemoryPool::new(4);
    assert_eq!(pool.max_pool_size(), 4);
    let addresses = lease_together(&pool, [2, 3], 4);
    lease_together(&pool, [8, 8], 1);
    let leased = floats(&pool, [8, 8]);

    pool.set_max_pool_size(2);
    assert_eq!(pool.max_pool_size(), 2);
    let stats = pool.get_stats();
    assert_eq!((stats.pooled_tensors, stats.idle_bytes), (2, 2 * 24));
    // The tensors that were returned last, in their order.
    let left = [floats(&pool, [2, 3]), floats(&pool, [2, 3])];
    assert_eq!(
        left.each_ref().map(|tensor| address(tensor)),
        addresses[2..]
    );
    drop(left);
    lease_together(&pool, [2, 3], 3);
    assert_eq!(pool.get_stats().pooled_tensors, 2);

    // The returned tensor is retained too: it has another shape.
    drop(leased);
    assert_eq!(pool.get_stats().pooled_tensors, 3);
    pool.set_max_pool_size(5);
    lease_together(&pool, [2, 3], 6);
    assert_eq!(pool.get_stats().pooled_tensors, 6);

    pool.set_max_pool_size(usize::MAX);
    assert_eq!(pool.max_pool_size(), 1 << 16, "the documented maximum");
    assert_eq!(pool.get_stats().pooled_tensors, 6);
}

#[test]
fn pool_retains_nothing_while_max_pool_size_is_0() {
    let budget = Budget::new("idle", Some(1 << 20));
    let pool = MemoryPool::with_options(PoolOptions {
        budget: Some(budget.clone()),
        ..PoolOptions::default()
    });
    lease_together(&pool, [2, 3], 3);
    let leased = floats(&pool, [4, 4]);
    pool.set_max_pool_size(0);
    drop(leased);
    lease_together(&pool, [5, 5], 1);
    let stats = pool.get_stats();
    assert_eq!((stats.pooled_tensors, stats.keys), (0, 0));
    assert_eq!((stats.idle_bytes, budget.used_bytes()), (0, 0));
    assert_eq!(
        stats.dropped_full, 2,
        "tensors freed by the setter are not counted as dropped"
    );
    pool.set_max_pool_size(1);
    lease_together(&pool, [5, 5], 1);
    assert_eq!(pool.get_stats().pooled_tensors, 1);
}

#[test]
fn concurrent_changes_of_max_pool_size_lose_no_tensor_and_exceed_no_limit() {
    let pool = MemoryPool::new(8);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..200 {
                    match (thread, round % 4) {
                        (0, bound) => pool.set_max_pool_size(bound),
                        _ => drop(lease_together(pool, [1 + round % 3, 4], 3)),
                    }
                }
            });
        }
    });
    pool.set_max_pool_size(2);
    let stats = pool.get_stats();
    assert!(stats.pooled_tensors <= 2 * stats.keys, "{stats:?}");
    pool.clear();
    assert_eq!(pool.get_stats().idle_bytes, 0);
    lease_together(&pool, [1, 4], 3);
    let stats = pool.get_stats();
    assert_eq!((stats.pooled_tensors, stats.idle_bytes), (2, 2 * 16));
}

#[test]
fn detached_tensor_leaves_the_pool() {
    let pool = MemoryPool::default();
    let mut tensor = floats(&pool, [4]);
    tensor.update(|t| t + 1.0);
    let tensor = tensor.detach();
    let stats = pool.get_stats();
    assert_eq!((stats.in_use_bytes, stats.pooled_tensors), (0, 0));
    assert!(pool.outstanding().is_empty());
    assert_eq!(values(&tensor), [1.0; 4]);
}

#[test]
fn stats_report_leases_and_bytes() {
    let pool = MemoryPool::default();
    assert_eq!(pool.get_stats().hit_rate(), None);
    let first = floats(&pool, [256]);
    let second = floats(&pool, [256]);
    drop(first);
    drop(floats(&pool, [256]));
    let stats = pool.get_stats();
    assert_eq!((stats.hits, stats.misses, stats.allocations), (1, 2, 2));
    assert_eq!(stats.hit_rate(), Some(1.0 / 3.0));
    assert_eq!(
        (stats.in_use_bytes, stats.idle_bytes, stats.peak_bytes),
        (1 << 10, 1 << 10, 2 << 10)
    );
    assert!(stats.devices.is_empty(), "Flex has no pools of its own");
    drop(second);
    assert_eq!(pool.trim(1 << 10), 1 << 10);
    assert_eq!(pool.get_stats().idle_bytes, 1 << 10);
    pool.clear();
    let stats = pool.get_stats();
    assert_eq!(
        (stats.idle_bytes, stats.pooled_tensors, stats.keys),
        (0, 0, 0)
    );
}

#[test]
fn outstanding_leases_are_listed_by_age() {
    let pool = MemoryPool::default();
    let device = Device::flex();
    let request = |tag| TensorRequest::new([4], DType::F32, &device).tag(tag);
    let first = pool.lease(request("first")).unwrap();
    let _second = pool.lease(request("second")).unwrap();
    let listed = pool.outstanding();
    assert_eq!(
        listed.iter().map(|lease| lease.tag).collect::<Vec<_>>(),
        ["first", "second"]
    );
    assert_eq!(listed[0].size_bytes, 16);
    assert!(listed[0].age() >= listed[1].age());
    drop(first);
    assert_eq!(pool.outstanding().len(), 1);
}

#[test]
fn invalid_requests_are_errors() {
    let (pool, device) = (MemoryPool::default(), Device::flex());
    let float = |shape| pool.get_tensor(shape, DType::F32, &device).map(drop);
    assert!(matches!(float([0, 4]), Err(Error::NoElements { .. })));
    assert!(matches!(
        float([usize::MAX, 2]),
        Err(Error::TooLarge { .. })
    ));
    // Within the address space, but more than any machine has.
    assert!(matches!(
        float([1 << 45, 4]),
        Err(Error::OutOfMemory { .. })
    ));
    let kind = pool.get_tensor([4], DType::I32, &device).map(drop);
    assert!(
        kind.unwrap_err()
            .to_string()
            .contains("i32 is not an element type of a Float tensor")
    );
    assert_eq!(pool.get_stats(), tensor_pool::PoolStats::default());
}

#[test]
fn leased_and_idle_bytes_are_reserved_in_their_budgets() {
    let machine = Budget::new("machine", Some(100));
    let stream = machine.child("stream", Some(80));
    let pool = MemoryPool::with_options(PoolOptions {
        budget: Some(machine.clone()),
        ..PoolOptions::default()
    });
    let request = |count| {
        TensorRequest::new([count], DType::F32, &Device::flex())
            .tag("state")
            .budget(&stream)
    };
    let tensor = pool.lease(request(16)).unwrap();
    assert_eq!((stream.used_bytes(), machine.used_bytes()), (64, 64));
    let refused = pool.lease(request(8)).unwrap_err();
    assert!(
        matches!(&refused, Error::OverBudget(over) if over.budget == "stream"),
        "{refused}"
    );
    drop(tensor);
    assert_eq!(
        (stream.used_bytes(), machine.used_bytes()),
        (0, 64),
        "idle bytes stay reserved"
    );
    // The request does not fit beside the idle tensor, so the idle tensor is freed.
    let other = pool.lease(request(20)).unwrap();
    assert_eq!((machine.used_bytes(), pool.get_stats().idle_bytes), (80, 0));
    drop(other);
    drop(pool);
    assert_eq!(machine.used_bytes(), 0);
}

#[test]
fn refused_lease_retains_the_idle_tensor() {
    let budget = Budget::new("stream", Some(32));
    let pool = MemoryPool::default();
    drop(floats(&pool, [16]));
    let request = TensorRequest::new([16], DType::F32, &Device::flex()).budget(&budget);
    assert!(pool.lease(request).is_err());
    assert_eq!(pool.get_stats().pooled_tensors, 1);
}

#[test]
fn panic_in_update_loses_only_that_tensor() {
    let pool = MemoryPool::default();
    let mut tensor = floats(&pool, [4]);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tensor.update(|_| panic!("on purpose"));
    }));
    assert!(result.is_err());
    drop(tensor);
    let stats = pool.get_stats();
    assert_eq!((stats.in_use_bytes, stats.pooled_tensors), (0, 0));
}

#[test]
fn concurrent_leases_lose_no_tensor_and_lease_none_twice() {
    let pool = MemoryPool::default();
    let leased: Mutex<HashSet<usize>> = Mutex::default();
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let (pool, leased) = (&pool, &leased);
            scope.spawn(move || {
                for round in 0..200u32 {
                    let mark = (thread * 1000 + round) as f32;
                    let mut tensor = floats(pool, [16]);
                    let address = address(&tensor);
                    assert!(leased.lock().unwrap().insert(address), "leased twice");
                    assert_eq!(values(&tensor), [0.0; 16]);
                    tensor.update(|t| t + mark);
                    assert_eq!(values(&tensor), [mark; 16]);
                    leased.lock().unwrap().remove(&address);
                    drop(tensor);
                }
            });
        }
    });
    let stats = pool.get_stats();
    assert_eq!(stats.hits + stats.misses, 1600);
    assert_eq!(
        stats.pooled_tensors as u64, stats.allocations,
        "a tensor was lost"
    );
    assert!(stats.allocations <= 8);
    assert_eq!((stats.in_use_bytes, stats.dropped_shared), (0, 0));
    assert!(pool.outstanding().is_empty());
}
