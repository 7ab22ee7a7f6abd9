//! Blocks that grow and shrink.

use std::alloc::GlobalAlloc;

use crate::block::{Block, KIB, MIB, assert_consistent, layout, pool};

#[test]
fn small_block_grows_by_moving_and_is_otherwise_resized_by_the_inner_allocator() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, 16);
    block.fill(3);
    // Grow to a page, grow beyond a page, shrink.
    for (size, requests, resizes) in [
        (17, 2, 0),
        (4 * KIB, 3, 0),
        (4 * KIB + 1, 3, 1),
        (1000, 3, 2),
    ] {
        block.resize(size);
        assert_eq!((inner.requests(), inner.resizes()), (requests, resizes));
        assert_eq!(inner.layout_of(block.pointer), layout(size));
        assert!(block.contains_only(3, 16));
        assert_eq!(pool.stats().live_bytes, size as u64);
        assert_consistent(pool.stats(), inner);
    }
    // One request plus the growth.
    assert_eq!(pool.stats().total.count, 1);
    assert_eq!(pool.stats().total.bytes, (4 * KIB + 1) as u64);
}

#[test]
fn small_block_that_cannot_grow_is_unchanged() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, 100);
    block.fill(3);
    let before = pool.stats();
    inner.limit(299);
    // SAFETY: the block is live, and the new size is not 0.
    let refused = unsafe { pool.realloc(block.pointer, block.layout, 200) };
    assert!(refused.is_null());
    assert!(block.contains_only(3, 100));
    assert_eq!(pool.stats(), before);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn resizing_within_a_class_stays_in_place() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, MIB + 1);
    let pointer = block.pointer;
    for size in [MIB + MIB / 8, MIB + 77, MIB + MIB / 8 - 5] {
        block.resize(size);
        assert_eq!(block.pointer, pointer);
        assert_eq!(pool.stats().live_bytes, size as u64);
        assert_consistent(pool.stats(), inner);
    }
    assert_eq!(pool.stats().total.count, 1);
    assert_eq!(inner.requests(), 1);
}

#[test]
fn resizing_out_of_a_class_retains_the_old_block() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, MIB);
    block.fill(3);
    block.resize(2 * MIB);
    assert!(block.contains_only(3, MIB));
    assert_eq!(pool.stats().retained_bytes, 1 << 20);
    block.resize(MIB);
    assert!(block.contains_only(3, MIB));
    assert_eq!(inner.requests(), 2);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn growth_in_small_steps_is_left_to_the_inner_allocator_from_1_mib_on() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, 64 * KIB);
    block.fill(3);
    while block.layout.size() < 20 * MIB {
        block.resize(block.layout.size() + 64 * KIB);
        assert_consistent(pool.stats(), inner);
    }
    assert!(block.contains_only(3, 64 * KIB));
    // Eight classes per doubling. Only the blocks below 1 MiB are retained.
    assert!((33..40).contains(&inner.resizes()), "{}", inner.resizes());
    let retained_bytes = pool.stats().retained_bytes;
    assert!(retained_bytes < 9 << 20, "{retained_bytes}");
    drop(block);
    assert_eq!(pool.stats().retained_bytes, retained_bytes + (20 << 20));
}

#[test]
fn growth_by_half_retains_the_old_block() {
    let (pool, inner) = pool(64 << 20);
    for _ in 0..2 {
        let mut block = Block::of(&pool, 2 * MIB);
        block.resize(3 * MIB);
        block.resize(9 * MIB / 2);
        assert_eq!((inner.requests(), inner.resizes()), (3, 0));
    }
    assert_eq!(
        pool.stats().retained_bytes,
        (2 << 20) + (3 << 20) + (9 << 19)
    );
}

#[test]
fn block_above_the_capacity_is_resized_by_the_inner_allocator() {
    let (pool, inner) = pool(32 << 20);
    let mut block = Block::of(&pool, 20 * MIB);
    for (size, calls) in [(40 * MIB, 1), (80 * MIB, 2), (24 * MIB, 3)] {
        block.resize(size);
        assert_eq!(inner.resizes(), calls, "to {size}");
        assert_consistent(pool.stats(), inner);
    }
    drop(block);
    assert_eq!(pool.stats().retained_bytes, 24 << 20);
}

#[test]
fn zero_capacity_counts_but_neither_retains_nor_moves_blocks() {
    let (pool, inner) = pool(0);
    let mut block = Block::of(&pool, MIB);
    block.resize(3 * MIB);
    assert_eq!(inner.resizes(), 1);
    assert_consistent(pool.stats(), inner);
    drop(block);
    assert_eq!(inner.outstanding(), 0);
    assert_eq!(pool.stats().total.bytes, 3 << 20);
    assert_eq!(pool.stats().from_pool.bytes, 0);
}
