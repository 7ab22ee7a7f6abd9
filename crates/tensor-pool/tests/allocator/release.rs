//! How idle blocks return to the inner allocator.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

use tensor_pool::PoolAllocator;

use crate::block::{Block, KIB, MIB, Pool, assert_consistent, layout, pool};
use crate::checked::Checked;

#[test]
fn capacity_limits_retained_bytes_and_lowering_it_frees_blocks_immediately() {
    let (pool, inner) = pool(8 << 20);
    let blocks: Vec<_> = (0..12).map(|_| Block::of(&pool, MIB)).collect();
    drop(blocks);
    assert_eq!(pool.stats().retained_bytes, 8 << 20);
    assert_eq!(inner.outstanding(), 8 << 20);
    pool.set_capacity(3 << 20);
    assert_eq!(inner.outstanding(), 3 << 20);
    drop(Block::of(&pool, 64 * KIB));
    assert_eq!(
        inner.outstanding(),
        3 << 20,
        "a block above the capacity is freed"
    );
    pool.set_capacity(0);
    assert_eq!(inner.outstanding(), 0);
    drop(Block::of(&pool, MIB));
    assert_eq!(inner.outstanding(), 0);
    pool.set_capacity(1 << 20);
    drop(Block::of(&pool, MIB));
    assert_eq!(pool.stats().retained_bytes, 1 << 20);
}

#[test]
fn trim_frees_the_largest_blocks_first_down_to_its_target() {
    let (pool, inner) = pool(64 << 20);
    drop([MIB, 4 * MIB, 64 * KIB, 16 * MIB].map(|size| Block::of(&pool, size)));
    assert_eq!(pool.trim(6 << 20), 16 << 20);
    assert_eq!(pool.stats().retained_bytes, (5 << 20) + (64 << 10));
    assert_eq!(
        pool.trim(64 << 10),
        5 << 20,
        "the smallest block is retained"
    );
    assert_eq!(pool.trim(0), 64 << 10);
    assert_eq!(inner.outstanding(), 0);
}

#[test]
fn trim_and_lower_capacity_call_the_collection_of_the_inner_allocator() {
    static COLLECTED: AtomicUsize = AtomicUsize::new(0);
    fn collected() -> usize {
        COLLECTED.load(Ordering::Relaxed)
    }
    let inner: &Checked = Box::leak(Box::new(Checked::new()));
    let pool: Pool = PoolAllocator::with(inner, 64 << 20).collect_with(|| {
        COLLECTED.fetch_add(1, Ordering::Relaxed);
    });
    drop([MIB, MIB].map(|size| Block::of(&pool, size)));
    pool.decay();
    assert_eq!(collected(), 0);
    pool.trim(1 << 20);
    assert_eq!(collected(), 1);
    pool.set_capacity(4 << 20);
    assert_eq!(collected(), 1, "no block was released");
    pool.set_capacity(0);
    assert_eq!(collected(), 2);
}

#[test]
fn decay_frees_only_unused_blocks() {
    let (pool, inner) = pool(64 << 20);
    // A burst uses six blocks, steady work uses two.
    drop((0..6).map(|_| Block::of(&pool, MIB)).collect::<Vec<_>>());
    assert_eq!(pool.decay(), 0, "all blocks were used since the last call");
    drop([MIB, MIB].map(|size| Block::of(&pool, size)));
    assert_eq!(pool.decay(), 4 << 20);
    assert_eq!(pool.stats().retained_bytes, 2 << 20);
    drop([MIB, MIB].map(|size| Block::of(&pool, size)));
    assert_eq!(pool.decay(), 0, "both blocks were used");
    assert_eq!(pool.decay(), 2 << 20, "neither block was used");
    assert_eq!(inner.outstanding(), 0);
}

#[test]
fn retained_blocks_are_freed_before_a_request_fails() {
    let (pool, inner) = pool(64 << 20);
    inner.limit(10 * MIB);
    drop(Block::of(&pool, 8 * MIB));
    let block = Block::of(&pool, 4 * MIB);
    assert_eq!(pool.stats().retained_bytes, 0);
    // SAFETY: the size is not 0.
    let refused = unsafe { pool.alloc(layout(8 * MIB)) };
    assert!(refused.is_null());
    assert_eq!(
        pool.stats().live_bytes,
        4 << 20,
        "a failed request is not counted"
    );
    drop(block);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn dropping_the_allocator_frees_retained_blocks() {
    let (pool, inner) = pool(64 << 20);
    drop(Block::of(&pool, MIB));
    drop(Block::new(
        &pool,
        Layout::from_size_align(MIB, 256).unwrap(),
    ));
    assert_eq!(inner.outstanding(), 2 << 20);
    drop(pool);
    assert_eq!(inner.outstanding(), 0);
}

#[test]
fn pressure_is_true_while_live_and_retained_bytes_exceed_the_soft_limit() {
    let (pool, _) = pool(64 << 20);
    let block = Block::of(&pool, 4 * MIB);
    assert!(!pool.pressure(), "no limit was set");
    pool.set_soft_limit(6 << 20);
    assert!(!pool.pressure());
    let more = Block::of(&pool, 3 * MIB);
    assert!(pool.pressure());
    drop(more);
    assert!(pool.pressure(), "the block is retained");
    pool.trim(0);
    assert!(!pool.pressure());
    drop(block);
}
