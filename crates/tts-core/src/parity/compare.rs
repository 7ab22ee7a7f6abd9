//! Comparison of values within the tolerance of a device.

use crate::device::DeviceKind;

/// Largest accepted relative L2 error of a tensor: rounding of f32 sums in another order on CPUs, and
/// the fast transcendental functions of GPUs.
fn tolerance(device: DeviceKind) -> f64 {
    match device {
        DeviceKind::Flex | DeviceKind::NdArray => 1e-4,
        DeviceKind::Wgpu => 1e-3,
    }
}

/// Smallest accepted signal-to-noise ratio of audio in dB.
fn min_snr_db(device: DeviceKind) -> f64 {
    match device {
        DeviceKind::Flex | DeviceKind::NdArray => 70.0,
        DeviceKind::Wgpu => 50.0,
    }
}

/// Returns `|found - expected| / |expected|`.
fn relative_l2(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "lengths differ");
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let error = square(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    let signal = square(&mut expected.iter().map(|b| f64::from(*b)));
    (error / signal).sqrt()
}

/// Returns the signal-to-noise ratio in dB.
fn snr_db(found: &[f32], expected: &[f32]) -> f64 {
    -20.0 * relative_l2(found, expected).log10()
}

/// Asserts that a tensor is within the device's tolerance, and prints the error.
pub(super) fn tensor(what: &str, device: DeviceKind, found: &[f32], expected: &[f32]) {
    let error = relative_l2(found, expected);
    println!("parity {device} {what} relative-l2 {error:.2e}");
    let limit = tolerance(device);
    assert!(
        error <= limit,
        "{what} on {device}: {error:.2e} > {limit:.0e}"
    );
}

/// Asserts that audio is within the device's tolerance, and prints the ratio.
pub(super) fn audio(what: &str, device: DeviceKind, found: &[f32], expected: &[f32]) {
    let snr = snr_db(found, expected);
    println!("parity {device} {what} snr {snr:.1} dB");
    let limit = min_snr_db(device);
    assert!(snr >= limit, "{what} on {device}: {snr:.1} dB < {limit} dB");
}
