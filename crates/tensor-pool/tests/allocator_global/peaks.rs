//! Peak windows.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tensor_pool::{PeakWindow, heap};

use crate::{MIB, in_child, touched};

#[test]
fn peak_windows_overlap() {
    in_child("peaks::peak_windows_overlap", || {
        let slack = || heap().unwrap().stats().peak_slack_bytes;
        // Includes the bytes that were live at the start, which are few in this process.
        let within = |window: &PeakWindow, mib: u64| {
            let peak = window.peak_bytes().unwrap();
            peak >= (mib << 20) && peak < ((mib + 1) << 20) + slack()
        };
        let all = PeakWindow::new();
        drop(touched(9 * MIB));
        let late = PeakWindow::new();
        thread::spawn(|| drop(touched(5 * MIB))).join().unwrap();
        let last = PeakWindow::new();
        drop(touched(2 * MIB));
        assert!(within(&all, 9), "{all:?}");
        assert!(within(&late, 5), "{late:?}");
        assert!(within(&last, 2), "{last:?}");
        drop(all);
        // Reuses the slot of the first window.
        let again = PeakWindow::new();
        assert!(within(&again, 0), "{again:?}");
    });
}

#[test]
fn peak_windows_opened_and_closed_in_any_order_keep_their_peaks() {
    in_child(
        "peaks::peak_windows_opened_and_closed_in_any_order_keep_their_peaks",
        || {
            let mib = |window: &PeakWindow| window.peak_bytes().unwrap() >> 20;
            let first = PeakWindow::new();
            drop(touched(6 * MIB));
            let burst: Vec<_> = (0..500).map(|_| PeakWindow::new()).collect();
            drop(touched(3 * MIB));
            let last = PeakWindow::new();
            drop(touched(MIB));
            assert_eq!((mib(&first), mib(&last)), (6, 1));
            assert!(burst.iter().all(|window| mib(window) == 3));
            drop(first);
            let mut burst = burst.into_iter();
            let kept = burst.nth(250).unwrap();
            drop(burst);
            drop(touched(4 * MIB));
            assert_eq!((mib(&kept), mib(&last)), (4, 4));
            assert_eq!(mib(&PeakWindow::new()), 0);
        },
    );
}

/// The peak of a window includes a block that lives only while other threads open windows.
#[test]
fn concurrent_windows_miss_no_peak() {
    in_child("peaks::concurrent_windows_miss_no_peak", || {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        drop((PeakWindow::new(), PeakWindow::new()));
                    }
                });
            }
            let missed = (0..500)
                .filter(|_| {
                    let window = PeakWindow::new();
                    drop(black_box(Vec::<u8>::with_capacity(8 * MIB)));
                    window.peak_bytes().unwrap() < 8 << 20
                })
                .count();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(missed, 0);
        });
    });
}
