//! The allocator as the global allocator. Tests of process-wide figures run in child processes.

mod peaks;
mod scopes;
mod seals;
mod system;
mod threads;

use std::alloc::System;
use std::hint::black_box;
use std::process::Command;
use std::sync::Once;

use tensor_pool::{PoolAllocator, heap, pressure};

#[global_allocator]
static ALLOCATOR: PoolAllocator<System> = PoolAllocator::with_capacity(256 << 20);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| assert!(ALLOCATOR.install()));
}

/// Runs the test with this name alone in a new process, with the allocator installed.
fn in_child(name: &str, body: fn()) {
    in_new_process(name, || {
        install();
        body();
    });
}

/// Runs the test with this name alone in a new process.
fn in_new_process(name: &str, body: impl FnOnce()) {
    const MARK: &str = "TENSOR_POOL_TEST_CHILD";
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Allocates a block and writes to each of its pages.
fn touched(size: usize) -> Vec<u8> {
    black_box(vec![1; size])
}

#[test]
fn heap_returns_the_installed_allocator() {
    install();
    assert!(ALLOCATOR.install(), "installing twice is not an error");
    let stats = heap().unwrap().stats();
    assert!(stats.live_bytes > 0 && stats.live_blocks > 0);
    assert!(!pressure());

    static OTHER: PoolAllocator = PoolAllocator::new();
    assert!(!OTHER.install(), "it is not the global allocator");
}
