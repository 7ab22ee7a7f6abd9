//! Paged sequences on Flex.

use burn::backend::Flex;
use burn::tensor::{DType, Device, Tensor, TensorData};
use proptest::prelude::*;
use tensor_pool::{Budget, Error, MemoryPool, PagedLease, TensorRequest};

fn address<const D: usize>(tensor: &Tensor<D>) -> usize {
    let flex = tensor.clone().try_into_primitive::<Flex>().unwrap();
    flex.storage::<f32>().as_ptr() as usize
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Returns a tensor `[row, step, channel]` whose values count up from `start`.
fn counting(shape: [usize; 3], start: usize) -> Tensor<3> {
    let count: usize = shape.iter().product();
    let values = (start..start + count).map(|value| value as f32).collect();
    Tensor::from_data(TensorData::new::<f32, _>(values, shape), &Device::flex())
}

fn pages(pool: &MemoryPool, shape: [usize; 3], axis: usize) -> PagedLease<3> {
    let page = TensorRequest::new(shape, DType::F32, &Device::flex());
    PagedLease::new(pool, page, axis).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn views_and_contiguous_return_the_appended_values(
        axis in 0usize..3, page_len in 1usize..5,
        appends in proptest::collection::vec(0usize..9, 1..8),
    ) {
        let mut shape = [2, 3, 2];
        shape[axis] = page_len;
        let pool = MemoryPool::default();
        let mut sequence = pages(&pool, shape, axis);
        let mut expected = Vec::new();
        for (index, &steps) in appends.iter().enumerate().filter(|(_, steps)| **steps > 0) {
            shape[axis] = steps;
            let new = counting(shape, 1000 * index);
            prop_assert_eq!(
                sequence.append_bytes(steps),
                sequence.page_bytes()
                    * ((sequence.len() + steps).div_ceil(page_len) - sequence.pages().len()) as u64
            );
            sequence.append(new.clone()).unwrap();
            expected.push(new);
        }
        let total: usize = appends.iter().sum();
        prop_assert_eq!(sequence.len(), total);
        prop_assert_eq!(sequence.pages().len(), total.div_ceil(page_len));
        if total > 0 {
            let whole = Tensor::cat(expected, axis);
            for from in 0..total {
                let mut range = whole.dims().map(|axis| 0..axis);
                range[axis] = from..total;
                prop_assert_eq!(
                    values(Tensor::cat(sequence.views(from).collect(), axis)),
                    values(whole.clone().slice(range))
                );
            }
            prop_assert_eq!(values(sequence.contiguous().unwrap()), values(whole));
        } else {
            prop_assert!(sequence.contiguous().is_none());
        }
    }
}

#[test]
fn appending_does_not_move_pages() {
    let pool = MemoryPool::default();
    let mut sequence = pages(&pool, [2, 8, 4], 1);
    let mut addresses: Vec<usize> = Vec::new();
    for step in 0..100 {
        sequence.append(counting([2, 1, 4], step)).unwrap();
        let now: Vec<_> = sequence.pages().iter().map(|page| address(page)).collect();
        assert_eq!(now[..addresses.len()], addresses, "after {step} steps");
        addresses = now;
    }
    assert_eq!(addresses.len(), 13);
    // Only pages were leased from the pool.
    assert_eq!(pool.get_stats().allocations, 13);
}

#[test]
fn pages_return_to_the_pool_and_are_reused() {
    let pool = MemoryPool::default();
    let mut sequence = pages(&pool, [1, 4, 1], 1);
    sequence.append(counting([1, 10, 1], 1)).unwrap();
    sequence.clear();
    assert!(sequence.is_empty());
    assert_eq!(pool.get_stats().pooled_tensors, 3);
    sequence.append(counting([1, 9, 1], 1)).unwrap();
    assert_eq!(pool.get_stats().hits, 3);
    drop(sequence);
    assert_eq!(pool.get_stats().pooled_tensors, 3);
}

#[test]
fn pages_are_reserved_in_the_budget_before_appending() {
    let budget = Budget::new("stream", Some(100));
    let pool = MemoryPool::default();
    let page = TensorRequest::new([1, 4, 3], DType::F32, &Device::flex()).budget(&budget);
    let mut sequence = PagedLease::new(&pool, page, 1).unwrap();
    assert_eq!(sequence.page_bytes(), 48);
    assert_eq!(sequence.append_bytes(5), 96);
    sequence.append(counting([1, 5, 3], 0)).unwrap();
    assert_eq!(budget.used_bytes(), 96);
    sequence.reserve(3).unwrap();
    let refused = sequence.append(counting([1, 4, 3], 0));
    assert!(matches!(refused, Err(Error::OverBudget(_))));
    assert_eq!(sequence.len(), 5, "a refused append changes nothing");
    sequence.append(counting([1, 3, 3], 0)).unwrap();
    drop(sequence);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn rejects_values_of_another_shape_and_invalid_axes() {
    let pool = MemoryPool::default();
    let mut sequence = pages(&pool, [1, 4, 2], 1);
    let error = sequence.append(counting([1, 4, 3], 0)).unwrap_err();
    assert!(error.to_string().contains("[1, 4, 3]"), "{error}");
    let page = TensorRequest::new([1, 4, 2], DType::F32, &Device::flex());
    let error = PagedLease::new(&pool, page, 3).unwrap_err();
    assert!(error.to_string().contains("from 0 to 2"), "{error}");
}

#[test]
fn kernels_can_write_directly_into_pages() {
    let pool = MemoryPool::default();
    let mut sequence = pages(&pool, [1, 4, 1], 1);
    sequence.append(counting([1, 3, 1], 0)).unwrap();
    sequence.reserve(2).unwrap();
    for run in sequence.runs(2) {
        let values = counting([1, run.positions.len(), 1], 10 + run.positions.start);
        let range = run.offset..run.offset + run.positions.len();
        sequence.pages_mut()[run.page]
            .update(|page| page.slice_assign([0..1, range, 0..1], values));
    }
    sequence.advance(2);
    assert_eq!(
        values(sequence.contiguous().unwrap()),
        [0.0, 1.0, 2.0, 10.0, 11.0]
    );
}
