//! Random requests compared with a reference model. Also run under valgrind.

#[path = "allocator/checked.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod checked;

use std::alloc::{GlobalAlloc, Layout};

use checked::Checked;
use proptest::prelude::*;
use tensor_pool::PoolAllocator;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

#[derive(Clone, Debug)]
enum Step {
    Allocate {
        layout: Layout,
        zeroed: bool,
    },
    /// Frees the live block at this index.
    Free(prop::sample::Index),
    Resize(prop::sample::Index, usize),
    SetCapacity(u64),
    Trim(u64),
    Decay,
}

/// Sizes near the boundaries (of small blocks, of the pooled range and of classes), and some of each
/// kind between them.
fn size() -> impl Strategy<Value = usize> {
    let class = (0_usize..40).prop_map(|step| (8 + step % 8) << (13 + step / 8));
    prop_oneof![
        3 => 1..4 * KIB,
        1 => 4 * KIB - 1..4 * KIB + 2,
        2 => 64 * KIB - 2..64 * KIB + 3,
        4 => (class, 0_usize..3).prop_map(|(class, beside)| class - 1 + beside),
        3 => 64 * KIB..MIB,
        1 => 32 * MIB - 1..32 * MIB + 2,
    ]
}

fn layout() -> impl Strategy<Value = Layout> {
    let align = prop_oneof![6 => 0_u32..5, 2 => 5_u32..13, 1 => Just(20)];
    (size(), align).prop_map(|(size, shift)| Layout::from_size_align(size, 1 << shift).unwrap())
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = (0_u64..40).prop_map(|count| (count * 100) << 10);
    prop_oneof![
        8 => (layout(), any::<bool>()).prop_map(|(layout, zeroed)| Step::Allocate { layout, zeroed }),
        7 => any::<prop::sample::Index>().prop_map(Step::Free),
        4 => (any::<prop::sample::Index>(), size()).prop_map(|(index, size)| Step::Resize(index, size)),
        1 => bytes.clone().prop_map(Step::SetCapacity),
        1 => bytes.prop_map(Step::Trim),
        1 => Just(Step::Decay),
    ]
}

struct Live {
    pointer: *mut u8,
    layout: Layout,
    byte: u8,
}

impl Live {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the block is live and was filled.
        unsafe { std::slice::from_raw_parts(self.pointer, self.layout.size()) }
    }

    fn fill(&mut self, byte: u8) {
        self.byte = byte;
        // SAFETY: the block is live and has that size.
        unsafe { self.pointer.write_bytes(byte, self.layout.size()) };
    }
}

/// Whether all bytes equal `byte`. Compares 4 KiB at a time, because the test is not optimised.
fn all(bytes: &[u8], byte: u8) -> bool {
    let pattern = [byte; 4096];
    bytes
        .chunks(pattern.len())
        .all(|chunk| chunk == &pattern[..chunk.len()])
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 200,
        // `PROPTEST_CASES` can lower the number of cases.
        ..ProptestConfig::with_cases(ProptestConfig::default().cases.min(64))
    })]

    #[test]
    fn blocks_keep_contents_and_alignment_do_not_overlap_and_are_counted(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let inner = Checked::new();
        let pool = PoolAllocator::with(&inner, 8 << 20);
        let mut live: Vec<Live> = Vec::new();
        let (mut requests, mut peak) = (0, 0);
        for (index, step) in steps.into_iter().enumerate() {
            let byte = (index % 250 + 1) as u8;
            match step {
                Step::Allocate { layout, zeroed } => {
                    // SAFETY: no size is 0.
                    let pointer = unsafe {
                        if zeroed { pool.alloc_zeroed(layout) } else { pool.alloc(layout) }
                    };
                    prop_assert!(!pointer.is_null());
                    let mut block = Live { pointer, layout, byte };
                    if zeroed {
                        prop_assert!(all(block.bytes(), 0), "zeroed");
                    }
                    block.fill(byte);
                    live.push(block);
                    requests += 1;
                }
                Step::Free(at) if !live.is_empty() => {
                    let block = live.swap_remove(at.index(live.len()));
                    prop_assert!(all(block.bytes(), block.byte), "contents");
                    // SAFETY: the block is live and has this layout.
                    unsafe { pool.dealloc(block.pointer, block.layout) };
                }
                Step::Resize(at, size) if !live.is_empty() => {
                    let at = at.index(live.len());
                    let block = &mut live[at];
                    let filled = block.layout.size().min(size);
                    // SAFETY: the block is live and has this layout, and the size is not 0.
                    block.pointer = unsafe { pool.realloc(block.pointer, block.layout, size) };
                    prop_assert!(!block.pointer.is_null());
                    block.layout = Layout::from_size_align(size, block.layout.align()).unwrap();
                    // SAFETY: `filled` bytes were filled before.
                    let prefix = unsafe { std::slice::from_raw_parts(block.pointer, filled) };
                    prop_assert!(all(prefix, block.byte), "contents after resizing");
                    block.fill(byte);
                    // Moving a block to another class counts as a request; resizing in place does not.
                    let now = pool.stats().total.count;
                    prop_assert!(now == requests || now == requests + 1);
                    requests = now;
                }
                Step::SetCapacity(capacity) => pool.set_capacity(capacity),
                Step::Trim(keep) => {
                    pool.trim(keep);
                    prop_assert!(pool.stats().retained_bytes <= keep);
                }
                Step::Decay => drop(pool.decay()),
                Step::Free(_) | Step::Resize(..) => {}
            }

            let mut ranges: Vec<_> = live
                .iter()
                .map(|block| (block.pointer.addr(), block.layout.size()))
                .collect();
            ranges.sort_unstable();
            for pair in ranges.windows(2) {
                prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0, "overlap");
            }
            for block in &live {
                prop_assert_eq!(block.pointer.addr() % block.layout.align(), 0, "alignment");
            }
            let expected: u64 = ranges.iter().map(|&(_, size)| size as u64).sum();
            peak = peak.max(expected);
            let stats = pool.stats();
            prop_assert_eq!(stats.live_bytes, expected);
            prop_assert_eq!(stats.live_blocks, live.len() as u64);
            prop_assert_eq!(stats.total.count, requests);
            prop_assert_eq!(stats.live_bytes + stats.padding_bytes + stats.retained_bytes, inner.outstanding());
            prop_assert!(stats.retained_bytes <= stats.capacity_bytes);
            prop_assert!(stats.peak_bytes >= peak);
        }
        for block in live {
            prop_assert!(all(block.bytes(), block.byte), "contents at the end");
            // SAFETY: the block is live and has this layout.
            unsafe { pool.dealloc(block.pointer, block.layout) };
        }
        drop(pool);
        prop_assert_eq!(inner.outstanding(), 0);
    }
}
