//! Assertions without a heap source, in a process of their own.

use std::panic::catch_unwind;

use leak_detect::{HeapSource, assert_no_growth, assert_peak, heap_source, set_heap_source};

#[test]
fn missing_source_panics_with_instructions() {
    assert!(heap_source().is_none());
    for assertion in [
        || assert_no_growth!(1, 20, |_| ()),
        || assert_peak!(u64::MAX, || ()),
    ] {
        let panic = catch_unwind(assertion).expect_err("no source");
        let message = panic.downcast::<String>().expect("a formatted message");
        assert!(
            message.contains("has no heap source: make `leak_detect::CountingAllocator`"),
            "{message}"
        );
    }

    set_heap_source(HeapSource {
        live_bytes: || 7,
        peak_of: |work| {
            work();
            100
        },
    });
    assert_no_growth!(1, 20, |_| ());
    assert_eq!(assert_peak!(100, || "result"), "result");
    assert!(catch_unwind(|| assert_peak!(99, || ())).is_err());
}
