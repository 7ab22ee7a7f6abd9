//! Which requests the pool serves, and what their blocks contain.

use std::alloc::Layout;

use crate::block::{Block, KIB, MIB, assert_consistent, layout, pool};

#[test]
fn freed_large_block_serves_the_next_request_of_its_class() {
    let (pool, inner) = pool(64 << 20);
    let mut first = Block::of(&pool, MIB);
    first.fill(1);
    let pointer = first.pointer;
    drop(first);
    assert_eq!(pool.stats().retained_bytes, 1 << 20);
    let again = Block::of(&pool, MIB - 1);
    assert_eq!(again.pointer, pointer);
    if cfg!(debug_assertions) {
        assert!(again.contains_only(0xA5, MIB - 1));
    }
    assert_eq!(inner.requests(), 1);
    let stats = pool.stats();
    assert_eq!(stats.from_pool.bytes, (MIB - 1) as u64);
    assert_eq!(stats.padding_bytes, 1);
    assert_consistent(stats, inner);
}

#[test]
fn requests_below_64_kib_and_above_the_capacity_are_not_pooled() {
    let (pool, inner) = pool(128 << 20);
    for size in [1, 64 * KIB - 1, 128 * MIB + 1] {
        let block = Block::of(&pool, size);
        assert!(inner.layout_of(block.pointer).size() >= size);
        drop(block);
        assert_eq!(pool.stats().retained_bytes, 0);
        assert_eq!(inner.outstanding(), 0);
    }
    assert_eq!(pool.stats().from_inner.count, 3);
    let block = Block::of(&pool, 64 * KIB - 1);
    assert_eq!(inner.layout_of(block.pointer).size(), 64 * KIB - 1);
}

#[test]
fn blocks_are_pooled_up_to_the_capacity() {
    let (pool, inner) = pool(256 << 20);
    for _ in 0..3 {
        drop([(); 4].map(|()| Block::of(&pool, 40 * MIB)));
    }
    assert_eq!(inner.requests(), 4);
    drop(Block::of(&pool, 256 * MIB));
    assert_eq!(
        pool.stats().retained_bytes,
        160 << 20,
        "it does not fit beside the others"
    );
    pool.trim(0);
    drop(Block::of(&pool, 256 * MIB));
    assert_eq!(pool.stats().retained_bytes, 256 << 20);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn padding_is_at_most_an_eighth() {
    let (pool, inner) = pool(0);
    for size in (64 * KIB..=96 * MIB).step_by(177_777) {
        let block = Block::of(&pool, size);
        let allocated = inner.layout_of(block.pointer).size();
        assert!(allocated >= size && allocated - size <= size / 8);
        assert_eq!(pool.stats().padding_bytes, (allocated - size) as u64);
    }
}

#[test]
fn large_blocks_are_aligned_to_16_or_to_the_requested_alignment() {
    let (pool, inner) = pool(64 << 20);
    for (requested, expected) in [(1, 16), (16, 16), (64, 64), (4096, 4096), (MIB, MIB)] {
        let block = Block::new(&pool, Layout::from_size_align(MIB, requested).unwrap());
        assert_eq!(inner.layout_of(block.pointer).align(), expected);
        assert_eq!(block.pointer.addr() % requested, 0);
    }
}

#[test]
fn retained_block_serves_only_requests_of_its_alignment() {
    let (pool, inner) = pool(64 << 20);
    let aligned = |align| Layout::from_size_align(MIB, align).unwrap();
    let retained = Block::new(&pool, aligned(64)).pointer;
    assert_ne!(Block::new(&pool, aligned(16)).pointer, retained);
    assert_ne!(Block::new(&pool, aligned(128)).pointer, retained);
    assert_eq!(pool.stats().from_pool.count, 0);
    assert_eq!(Block::new(&pool, aligned(64)).pointer, retained);
    assert_eq!(pool.stats().from_pool.count, 1);
    // The alignment is too large to be stored in the low bits of an address, so the block is not retained.
    let retained_bytes = pool.stats().retained_bytes;
    drop(Block::new(&pool, aligned(MIB)));
    assert_eq!(pool.stats().retained_bytes, retained_bytes);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn zeroed_blocks_are_zero_and_new_ones_are_zeroed_by_the_inner_allocator() {
    let (pool, inner) = pool(64 << 20);
    let mut fresh = Block::zeroed(&pool, layout(MIB));
    assert_eq!(inner.zeroed_requests(), 1);
    assert!(fresh.contains_only(0, MIB));
    fresh.fill(7);
    let pointer = fresh.pointer;
    drop(fresh);
    let recycled = Block::zeroed(&pool, layout(MIB));
    assert_eq!(recycled.pointer, pointer);
    assert!(recycled.contains_only(0, MIB));
    assert_eq!(inner.requests(), 1);
}

#[test]
fn small_zeroed_blocks_are_zero_if_the_inner_allocator_reuses_memory() {
    let (pool, inner) = pool(64 << 20);
    for size in [1, 24, 1000, 4 * KIB] {
        // The system allocator reuses the block that was freed last.
        Block::of(&pool, size).fill(7);
        assert!(Block::zeroed(&pool, layout(size)).contains_only(0, size));
    }
    assert_eq!(inner.zeroed_requests(), 0);
    assert!(Block::zeroed(&pool, layout(4 * KIB + 1)).contains_only(0, 4 * KIB + 1));
    assert_eq!(inner.zeroed_requests(), 1);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn full_class_frees_further_blocks() {
    let (pool, inner) = pool(u64::MAX);
    let blocks: Vec<_> = (0..200).map(|_| Block::of(&pool, 64 * KIB)).collect();
    drop(blocks);
    // A class has 128 slots.
    assert_eq!(pool.stats().retained_bytes, 8 << 20);
    assert_consistent(pool.stats(), inner);
}
