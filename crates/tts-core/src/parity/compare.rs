//! The one helper that decides whether numbers are equal enough.

use crate::device::DeviceKind;

/// Largest relative L2 error of a tensor: rounding of f32 sums in another order on the CPU, and of
/// the fast transcendental functions of a GPU.
pub(super) fn tolerance(device: DeviceKind) -> f64 {
    match device {
        DeviceKind::Flex | DeviceKind::NdArray => 1e-4,
        DeviceKind::Wgpu => 1e-3,
    }
}

/// Least signal-to-noise ratio of audio in dB.
pub(super) fn least_snr_db(device: DeviceKind) -> f64 {
    match device {
        DeviceKind::Flex | DeviceKind::NdArray => 70.0,
        DeviceKind::Wgpu => 50.0,
    }
}

/// `|found - expected| / |expected|`
pub(super) fn relative_l2(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "lengths differ");
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let error = square(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    let signal = square(&mut expected.iter().map(|b| f64::from(*b)));
    (error / signal).sqrt()
}

/// Signal-to-noise ratio in dB.
pub(super) fn snr_db(found: &[f32], expected: &[f32]) -> f64 {
    -20.0 * relative_l2(found, expected).log10()
}

/// Fails unless a tensor is within the device's tolerance; prints the error for the record.
pub(super) fn tensor(what: &str, device: DeviceKind, found: &[f32], expected: &[f32]) {
    let error = relative_l2(found, expected);
    println!("parity {device} {what} relative-l2 {error:.2e}");
    let most = tolerance(device);
    assert!(
        error <= most,
        "{what} on {device}: {error:.2e} > {most:.0e}"
    );
}

/// Fails unless audio is within the device's tolerance; prints the ratio for the record.
pub(super) fn audio(what: &str, device: DeviceKind, found: &[f32], expected: &[f32]) {
    let snr = snr_db(found, expected);
    println!("parity {device} {what} snr {snr:.1} dB");
    let least = least_snr_db(device);
    assert!(snr >= least, "{what} on {device}: {snr:.1} dB < {least} dB");
}
