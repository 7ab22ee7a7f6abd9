//! The tensor pool on devices other than Flex.
#![cfg(any(feature = "ndarray", feature = "wgpu"))]

use burn::tensor::{DType, Device, Tensor};
use tensor_pool::{MemoryPool, PagedLease, Reuse, TensorRequest};

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec().unwrap()
}

/// Checks leasing, writing, returning, zeroing and the detection of changed layouts.
fn behaves_like_flex(device: &Device) {
    let pool = MemoryPool::default();
    let lease = || pool.get_tensor([3, 3], DType::F32, device).unwrap();
    let mut tensor = lease();
    assert_eq!(values(&tensor), [0.0; 9]);
    tensor.update(|t| t.slice_fill([0..3, 0..3], f32::NAN));
    drop(tensor);
    assert_eq!(pool.get_stats().pooled_tensors, 1, "{:?}", pool.get_stats());

    let mut tensor = lease();
    assert_eq!(values(&tensor), [0.0; 9]);
    assert_eq!(pool.get_stats().hits, 1);
    let clone = Tensor::clone(&tensor);
    tensor.update(|t| t.slice_fill([0..1, 0..3], 4.0));
    assert_eq!(values(&clone), [0.0; 9]);
    drop((clone, tensor));

    let pool = MemoryPool::default();
    let mut transposed = pool.get_tensor([3, 3], DType::F32, device).unwrap();
    transposed.update(Tensor::transpose);
    drop(transposed);
    assert_eq!(pool.get_stats().dropped_changed, 1);

    let page = TensorRequest::new([1, 4, 2], DType::F32, device).reuse(Reuse::AsIs);
    let mut sequence = PagedLease::new(&pool, page, 1).unwrap();
    for step in 0..10 {
        let values = Tensor::<3>::ones([1, 1, 2], device) * step as f32;
        sequence.append(values).unwrap();
    }
    let whole = values(&sequence.contiguous().unwrap());
    let expected: Vec<f32> = (0..10).flat_map(|step| [step as f32; 2]).collect();
    assert_eq!(whole, expected);
    drop(sequence);
    assert_eq!(pool.get_stats().pooled_tensors, 3, "{:?}", pool.get_stats());
}

#[cfg(feature = "ndarray")]
#[test]
fn ndarray_behaves_like_flex() {
    #[allow(deprecated, reason = "Burn deprecates the backend before its removal")]
    behaves_like_flex(&Device::ndarray());
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_behaves_like_flex_and_reports_its_own_pools() {
    // Without an adapter this returns an error, instead of a panic at the first use.
    let device = Device::wgpu_options().init().unwrap();
    behaves_like_flex(&device);

    let pool = MemoryPool::default();
    let large = || pool.get_tensor([4 << 20], DType::F32, &device).unwrap();
    drop(large());
    device.sync().unwrap();
    let reserved = || pool.get_stats().devices[0].bytes_reserved;
    let before = reserved();
    assert!(before.get() >= 16 << 20, "{before}");
    pool.clear();
    device.sync().unwrap();
    assert!(reserved() < before, "{} of {before}", reserved());
}
