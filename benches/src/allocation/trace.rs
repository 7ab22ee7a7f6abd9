//! The file format of recorded allocator requests.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use bench_report::allocation::TraceSummary;
use memmap2::Mmap;

use crate::Result;

/// A kind of request. No value is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Allocates a block.
    Alloc = 1,
    /// Allocates a block filled with zeros.
    AllocZeroed = 2,
    /// Frees a block.
    Free = 3,
    /// The old block of a resize; the next request of the thread is the new block.
    ResizeFrom = 4,
    /// The new block of a resize.
    ResizeTo = 5,
}

impl Operation {
    /// Returns the operation with this number.
    #[inline]
    pub(super) fn numbered(number: u64) -> Option<Self> {
        [
            Self::Alloc,
            Self::AllocZeroed,
            Self::Free,
            Self::ResizeFrom,
            Self::ResizeTo,
        ]
        .into_iter()
        .find(|&operation| operation as u64 == number)
    }
}

/// A recorded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Kind of the request.
    pub operation: Operation,
    /// Number of the thread, from 0.
    pub thread: usize,
    /// Address of the block.
    pub address: u64,
    /// Size of the block in bytes.
    pub size: u64,
    /// Alignment of the block, as the exponent of a power of two.
    pub align_log2: u8,
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The requests in order.
    pub requests: Vec<Request>,
    /// The largest block that was freed before the recording, among those for which glibc raises its
    /// thresholds.
    pub largest_freed_before: u64,
}

/// A request that can be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Kind of the request.
    pub operation: Operation,
    /// Number of the block, from 0. A resized block gets a new number.
    pub block: u32,
    /// Size of the block in bytes.
    pub size: u32,
    /// Alignment of the block, as the exponent of a power of two.
    pub align_log2: u8,
}

/// A request in the file: operation and alignment, block, size.
type Words = [u32; 3];

impl Step {
    fn words(self) -> Words {
        let operation = u32::from(self.align_log2) << 8 | self.operation as u32;
        [operation, self.block, self.size]
    }

    #[inline]
    fn of([operation, block, size]: Words) -> Option<Self> {
        Some(Self {
            operation: Operation::numbered(u64::from(operation & 0xff))?,
            block,
            size,
            align_log2: (operation >> 8) as u8,
        })
    }
}

/// Minimum share of all requests or of all bytes for a recorded thread to get its own replaying thread. The
/// busiest thread replays the requests of the others. Two threads generate speech; the others allocate only
/// at its start and end.
const MIN_SHARE: f64 = 0.01;

/// The smallest block that `PoolAllocator` pools. Only the summary uses this value.
const LARGE_BYTES: u64 = 64 << 10;

/// The requests of each thread.
///
/// The trace is divided into spans with equal numbers of requests. In a replay, the threads wait for each
/// other after each span, so no thread runs more than one span ahead of its place in the recording.
///
/// The file is a sequence of 32-bit integers in native byte order:
///
/// - the numbers of threads, spans and blocks, and the size of the largest block that was freed before;
/// - for each thread, the start of each span and the end of the last one;
/// - the requests.
#[derive(Debug)]
pub struct Trace {
    map: Mmap,
    threads: usize,
    spans: usize,
    blocks: usize,
    largest_freed_before: usize,
}

/// The numbers of threads, spans and blocks, and the size of the largest block that was freed before.
const HEAD_WORDS: usize = 4;

impl Trace {
    /// Writes a recording to a file.
    ///
    /// Blocks from before the recording are omitted: freeing one is skipped, and resizing one becomes an
    /// allocation. Blocks that are live at the end of the recording are freed there by the thread that
    /// allocated them.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or a block has 4 GiB or more.
    pub fn write(path: &Path, recording: &Recording, spans: usize) -> Result<TraceSummary> {
        let resolved = Resolved::of(recording, spans)?;
        let mut file = BufWriter::new(File::create(path)?);
        let mut put = |numbers: &[u32]| -> Result<()> {
            for number in numbers {
                file.write_all(&number.to_ne_bytes())?;
            }
            Ok(())
        };
        let blocks = u32::try_from(resolved.summary.blocks)?;
        put(&[
            resolved.threads.len() as u32,
            spans as u32,
            blocks,
            u32::try_from(recording.largest_freed_before)?,
        ])?;
        let mut begin = 0;
        for thread in &resolved.threads {
            for span in thread {
                put(&[begin])?;
                begin += u32::try_from(span.len())?;
            }
            put(&[begin])?;
        }
        for step in resolved.threads.iter().flatten().flatten() {
            put(&step.words())?;
        }
        file.flush()?;
        Ok(resolved.summary)
    }

    /// Maps a trace file.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not a trace.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        // SAFETY: this program has written the file, and nothing modifies it while it is mapped.
        let map = unsafe { Mmap::map(&file)? };
        let damaged = || format!("{} is not an allocation trace", path.display());
        let words: &[u32] = bytemuck::try_cast_slice(&map).map_err(|_| damaged())?;
        let &[threads, spans, blocks, largest_freed_before] =
            words.first_chunk().ok_or_else(damaged)?;
        let trace = Self {
            threads: threads as usize,
            spans: spans as usize,
            blocks: blocks as usize,
            largest_freed_before: largest_freed_before as usize,
            map,
        };
        let steps_begin = trace.steps_begin();
        let begins = trace.words().get(HEAD_WORDS..steps_begin);
        let steps = begins.and_then(<[u32]>::last).ok_or_else(damaged)?;
        if trace.words().len() != steps_begin + *steps as usize * size_of::<Words>() / 4 {
            return Err(damaged().into());
        }
        Ok(trace)
    }

    #[inline]
    fn words(&self) -> &[u32] {
        // The same cast succeeded in `open`.
        bytemuck::cast_slice(&self.map)
    }

    #[inline]
    fn steps_begin(&self) -> usize {
        HEAD_WORDS + self.threads * (self.spans + 1)
    }

    /// Returns the number of threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Returns the number of spans of each thread; spans may be empty.
    pub fn spans(&self) -> usize {
        self.spans
    }

    /// Returns the number of blocks of all threads.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Returns the size of the largest block that was freed before the recording.
    pub fn largest_freed_before(&self) -> usize {
        self.largest_freed_before
    }

    /// Returns the requests of a thread in a span.
    ///
    /// # Panics
    ///
    /// The thread or the span does not exist, or the file was modified.
    #[inline]
    pub fn steps(&self, thread: usize, span: usize) -> impl Iterator<Item = Step> {
        let (words, place) = (self.words(), HEAD_WORDS + thread * (self.spans + 1) + span);
        let steps: &[Words] = bytemuck::cast_slice(&words[self.steps_begin()..]);
        let steps = &steps[words[place] as usize..words[place + 1] as usize];
        steps
            .iter()
            .map(|&words| Step::of(words).expect("the file was not modified"))
    }
}

/// Returns, for each recorded thread, the number of the thread that replays its requests.
fn replaying_threads(requests: &[Request]) -> Vec<usize> {
    // Number of requests and bytes of each thread.
    let mut totals: Vec<[u64; 2]> = Vec::new();
    for request in requests {
        totals.resize(totals.len().max(request.thread + 1), [0; 2]);
        totals[request.thread][0] += 1;
        totals[request.thread][1] += request.size;
    }
    let all = [0, 1].map(|kind| totals.iter().map(|total| total[kind]).sum::<u64>() as f64);
    let is_busy = |total: &[u64; 2]| {
        total
            .iter()
            .zip(all)
            .any(|(&count, all)| count as f64 >= MIN_SHARE * all)
    };
    let busy: Vec<u64> = totals
        .iter()
        .filter(|total| is_busy(total))
        .map(|total| total[0])
        .collect();
    let most = busy.iter().max();
    let busiest = busy
        .iter()
        .position(|count| Some(count) == most)
        .unwrap_or(0);
    let mut next = 0..;
    totals
        .iter()
        .map(|total| match is_busy(total) {
            true => next.next().unwrap_or(busiest),
            false => busiest,
        })
        .collect()
}

/// Requests with block numbers instead of addresses, per thread and span.
struct Resolved {
    threads: Vec<Vec<Vec<Step>>>,
    summary: TraceSummary,
}

struct Live {
    block: u32,
    thread: usize,
    size: u32,
    align_log2: u8,
}

impl Resolved {
    fn of(recording: &Recording, spans: usize) -> Result<Self> {
        let requests = &recording.requests;
        let replaying = replaying_threads(requests);
        let threads = replaying.len();
        let replaying_threads = replaying.iter().max().map_or(0, |most| most + 1);
        let mut resolved = Self {
            threads: vec![vec![Vec::new(); spans]; replaying_threads],
            summary: TraceSummary {
                threads,
                replaying_threads,
                largest_freed_before_bytes: recording.largest_freed_before,
                ..TraceSummary::default()
            },
        };
        let mut live: HashMap<u64, Live> = HashMap::new();
        let mut live_bytes = 0;
        // For each thread, the block that it is resizing, if the recording contains its allocation.
        let mut resizing: Vec<Option<Live>> = (0..threads).map(|_| None).collect();
        for (number, request) in requests.iter().enumerate() {
            let span = number * spans / requests.len();
            let thread = replaying[request.thread];
            let mut operation = request.operation;
            match operation {
                Operation::Alloc | Operation::AllocZeroed | Operation::ResizeTo => {
                    if operation == Operation::ResizeTo {
                        // Both steps are added to the same span, because they are one request.
                        match resizing[request.thread].take() {
                            Some(old) => {
                                resolved.add(thread, span, Operation::ResizeFrom, &old);
                            }
                            None => operation = Operation::Alloc,
                        }
                    }
                    let block = Live {
                        block: u32::try_from(resolved.summary.blocks)?,
                        thread,
                        size: u32::try_from(request.size)?,
                        align_log2: request.align_log2,
                    };
                    resolved.add(thread, span, operation, &block);
                    count_block(&mut resolved.summary, request.size);
                    live_bytes += request.size;
                    live.insert(request.address, block);
                }
                Operation::Free | Operation::ResizeFrom => {
                    let Some(block) = live.remove(&request.address) else {
                        continue;
                    };
                    live_bytes -= u64::from(block.size);
                    resolved.summary.freed_by_other_threads += usize::from(block.thread != thread);
                    match operation {
                        Operation::Free => resolved.add(thread, span, operation, &block),
                        _ => resizing[request.thread] = Some(block),
                    }
                }
            }
            let peak = &mut resolved.summary.peak_live_bytes;
            *peak = live_bytes.max(*peak);
        }
        let mut remaining: Vec<Live> = live.into_values().collect();
        remaining.sort_by_key(|block| block.block);
        for block in remaining {
            resolved.add(block.thread, spans - 1, Operation::Free, &block);
        }
        Ok(resolved)
    }

    fn add(&mut self, thread: usize, span: usize, operation: Operation, block: &Live) {
        self.summary.requests += usize::from(operation != Operation::ResizeFrom);
        self.threads[thread][span].push(Step {
            operation,
            block: block.block,
            size: block.size,
            align_log2: block.align_log2,
        });
    }
}

fn count_block(summary: &mut TraceSummary, size_bytes: u64) {
    summary.blocks += 1;
    summary.bytes += size_bytes;
    if size_bytes >= LARGE_BYTES {
        summary.large_blocks += 1;
        summary.large_bytes += size_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(operation: Operation, thread: usize, address: u64, size: u64) -> Request {
        Request {
            operation,
            thread,
            address,
            size,
            align_log2: 4,
        }
    }

    /// Returns operation, block and size of each request of a thread.
    fn steps(trace: &Trace, thread: usize) -> Vec<(Operation, u32, u32)> {
        (0..trace.spans())
            .flat_map(|span| trace.steps(thread, span))
            .map(|step| (step.operation, step.block, step.size))
            .collect()
    }

    fn written(name: &str, requests: &[Request], spans: usize) -> (Trace, TraceSummary) {
        let name = format!("{name}-{}.trace", std::process::id());
        let path = std::env::temp_dir().join(name);
        let recording = Recording {
            requests: requests.to_vec(),
            largest_freed_before: 5 << 20,
        };
        let summary = Trace::write(&path, &recording, spans).unwrap();
        let trace = Trace::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        (trace, summary)
    }

    #[test]
    fn numbers_blocks_across_reused_addresses_and_resizes() {
        use Operation::*;
        let (trace, summary) = written(
            "numbers",
            &[
                request(Alloc, 0, 0x10, 100),
                request(AllocZeroed, 1, 0x20, 70_000),
                request(Free, 1, 0x10, 100),
                request(Alloc, 0, 0x10, 50),
                request(ResizeFrom, 0, 0x20, 70_000),
                request(ResizeTo, 0, 0x20, 90_000),
                request(Free, 0, 0x10, 50),
                request(Free, 0, 0x20, 90_000),
            ],
            2,
        );
        assert_eq!(
            steps(&trace, 0),
            [
                (Alloc, 0, 100),
                (Alloc, 2, 50),
                (ResizeFrom, 1, 70_000),
                (ResizeTo, 3, 90_000),
                (Free, 2, 50),
                (Free, 3, 90_000),
            ]
        );
        assert_eq!(steps(&trace, 1), [(AllocZeroed, 1, 70_000), (Free, 0, 100)]);
        assert_eq!(trace.steps(0, 0).count(), 2);
        assert_eq!((trace.blocks(), trace.largest_freed_before()), (4, 5 << 20));
        assert_eq!(
            summary,
            TraceSummary {
                threads: 2,
                replaying_threads: 2,
                requests: 7,
                blocks: 4,
                large_blocks: 2,
                bytes: 160_150,
                large_bytes: 160_000,
                peak_live_bytes: 90_050,
                freed_by_other_threads: 2,
                largest_freed_before_bytes: 5 << 20,
            }
        );
    }

    #[test]
    fn omits_earlier_blocks_and_frees_remaining_ones() {
        use Operation::*;
        let (trace, _) = written(
            "ends",
            &[
                request(Free, 0, 0x10, 1),
                request(ResizeFrom, 0, 0x20, 1),
                request(ResizeTo, 0, 0x30, 2),
                request(Alloc, 0, 0x40, 3),
            ],
            3,
        );
        assert_eq!(
            steps(&trace, 0),
            [(Alloc, 0, 2), (Alloc, 1, 3), (Free, 0, 2), (Free, 1, 3)]
        );
    }

    #[test]
    fn busiest_thread_replays_requests_of_idle_threads() {
        use Operation::*;
        let mut requests = vec![request(Alloc, 0, 0x10, 1)];
        for _ in 0..100 {
            requests.push(request(Alloc, 1, 0x20, 2));
            requests.push(request(Free, 1, 0x20, 2));
            requests.push(request(Alloc, 2, 0x30, 3));
        }
        requests.push(request(Free, 0, 0x10, 1));
        let (trace, summary) = written("busy", &requests, 1);
        assert_eq!((summary.threads, summary.replaying_threads), (3, 2));
        let busiest = steps(&trace, 0);
        assert_eq!(busiest.len(), 202);
        assert_eq!((busiest[0], busiest[201]), ((Alloc, 0, 1), (Free, 0, 1)));
    }

    #[test]
    fn rejects_other_files() {
        let path = std::env::temp_dir().join(format!("no-trace-{}", std::process::id()));
        std::fs::write(&path, [1; 40]).unwrap();
        assert!(Trace::open(&path).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
