//! What was asked of the allocator, in a form that can be done again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use crate::Result;

/// What is asked. None is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// A block.
    Alloc = 1,
    /// A block filled with zeros.
    AllocZeroed = 2,
    /// A block ends.
    Free = 3,
    /// A block ends as it is resized; the thread's next step is what becomes of it.
    ResizeFrom = 4,
    /// A block begins as another one is resized.
    ResizeTo = 5,
}

impl Operation {
    /// The operation of a number.
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

/// A request as it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What was asked.
    pub operation: Operation,
    /// By which thread, counted from 0.
    pub thread: usize,
    /// Where the block is.
    pub address: u64,
    /// The block's bytes.
    pub size: u64,
    /// Its alignment, as a power of two.
    pub align_log2: u8,
}

/// A request that can be done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is asked.
    pub operation: Operation,
    /// Which block, counted from 0. A resized block is another one.
    pub block: u32,
    /// The block's bytes.
    pub size: u32,
    /// Its alignment, as a power of two.
    pub align_log2: u8,
}

/// A step as it is in the file: operation and alignment, block, size.
type Words = [u32; 3];

impl Step {
    fn words(self) -> Words {
        let operation = u32::from(self.align_log2) << 8 | self.operation as u32;
        [operation, self.block, self.size]
    }

    fn of([operation, block, size]: Words) -> Option<Self> {
        Some(Self {
            operation: Operation::numbered(u64::from(operation & 0xff))?,
            block,
            size,
            align_log2: (operation >> 8) as u8,
        })
    }
}

/// Figures of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// Threads that asked for something.
    pub threads: usize,
    /// Requests.
    pub requests: usize,
    /// Blocks; a resized one counts again.
    pub blocks: usize,
    /// Blocks of 64 KiB and more.
    pub large_blocks: usize,
    /// Bytes of all blocks.
    pub bytes: u64,
    /// Bytes of those of 64 KiB and more.
    pub large_bytes: u64,
    /// The most bytes that blocks took at once, in the order that was recorded.
    pub peak_live_bytes: u64,
    /// Blocks that were freed by another thread than made them.
    pub freed_elsewhere: usize,
}

/// Where the pool of ours begins; only to tell in the summary how much is large.
const LARGE_BYTES: u64 = 64 << 10;

/// What was asked of the allocator, thread by thread.
///
/// It is cut into spans of equally many requests, between which the threads wait for each other when
/// it is done again, so that none runs ahead of the others by more than it did. The file is a list of
/// 32-bit numbers in the machine's byte order: numbers of threads, spans and blocks; for each thread
/// where each of its spans begins, and where its last one ends; and the steps.
#[derive(Debug)]
pub struct Trace {
    map: Mmap,
    threads: usize,
    spans: usize,
    blocks: usize,
}

/// Numbers of threads, spans and blocks.
const HEAD_WORDS: usize = 3;

impl Trace {
    /// Writes a file from what was recorded. What was there before the recording is left out: its end
    /// is, and where it was resized a block begins. What is left at the end is freed then, by the
    /// thread that made it.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or a block has 4 GiB or more.
    pub fn write(path: &Path, requests: &[Request], spans: usize) -> Result<TraceSummary> {
        let resolved = Resolved::of(requests, spans)?;
        let mut file = BufWriter::new(File::create(path)?);
        let mut put = |numbers: &[u32]| -> Result<()> {
            for number in numbers {
                file.write_all(&number.to_ne_bytes())?;
            }
            Ok(())
        };
        let blocks = u32::try_from(resolved.summary.blocks)?;
        put(&[resolved.threads.len() as u32, spans as u32, blocks])?;
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

    /// Maps a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no trace.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the file is written by this program before, and by nothing meanwhile.
        let map = unsafe { Mmap::map(&file)? };
        let damaged = || format!("{} is no trace of allocations", path.display());
        let words: &[u32] = bytemuck::try_cast_slice(&map).map_err(|_| damaged())?;
        let &[threads, spans, blocks] = words.first_chunk().ok_or_else(damaged)?;
        let trace = Self {
            threads: threads as usize,
            spans: spans as usize,
            blocks: blocks as usize,
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

    fn words(&self) -> &[u32] {
        // It was cast once when it was opened.
        bytemuck::cast_slice(&self.map)
    }

    fn steps_begin(&self) -> usize {
        HEAD_WORDS + self.threads * (self.spans + 1)
    }

    /// Threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Spans of each thread, some of them empty.
    pub fn spans(&self) -> usize {
        self.spans
    }

    /// Blocks of all threads.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// What a thread does in a span.
    ///
    /// # Panics
    ///
    /// There is no such thread or span, or the file was changed.
    pub fn steps(&self, thread: usize, span: usize) -> impl Iterator<Item = Step> {
        let (words, place) = (self.words(), HEAD_WORDS + thread * (self.spans + 1) + span);
        let steps: &[Words] = bytemuck::cast_slice(&words[self.steps_begin()..]);
        let steps = &steps[words[place] as usize..words[place + 1] as usize];
        steps
            .iter()
            .map(|&words| Step::of(words).expect("the file is as this program wrote it"))
    }
}

/// Requests with numbers for addresses: per thread, per span.
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
    fn of(requests: &[Request], spans: usize) -> Result<Self> {
        let threads = requests.iter().map(|request| request.thread + 1).max();
        let threads = threads.unwrap_or(0);
        let mut resolved = Self {
            threads: vec![vec![Vec::new(); spans]; threads],
            summary: TraceSummary {
                threads,
                ..TraceSummary::default()
            },
        };
        let mut live: HashMap<u64, Live> = HashMap::new();
        let mut live_bytes = 0;
        // Per thread: what it is resizing, if that was made within the recording.
        let mut resizing: Vec<Option<Live>> = (0..threads).map(|_| None).collect();
        for (number, request) in requests.iter().enumerate() {
            let span = number * spans / requests.len();
            let mut operation = request.operation;
            match operation {
                Operation::Alloc | Operation::AllocZeroed | Operation::ResizeTo => {
                    if operation == Operation::ResizeTo {
                        // Both in one span, as they are one request.
                        match resizing[request.thread].take() {
                            Some(old) => {
                                resolved.add(request.thread, span, Operation::ResizeFrom, &old);
                            }
                            None => operation = Operation::Alloc,
                        }
                    }
                    let block = Live {
                        block: u32::try_from(resolved.summary.blocks)?,
                        thread: request.thread,
                        size: u32::try_from(request.size)?,
                        align_log2: request.align_log2,
                    };
                    resolved.add(request.thread, span, operation, &block);
                    resolved.summary.count_block(request.size);
                    live_bytes += request.size;
                    live.insert(request.address, block);
                }
                Operation::Free | Operation::ResizeFrom => {
                    let Some(block) = live.remove(&request.address) else {
                        continue;
                    };
                    live_bytes -= u64::from(block.size);
                    resolved.summary.freed_elsewhere += usize::from(block.thread != request.thread);
                    match operation {
                        Operation::Free => resolved.add(request.thread, span, operation, &block),
                        _ => resizing[request.thread] = Some(block),
                    }
                }
            }
            let peak = &mut resolved.summary.peak_live_bytes;
            *peak = live_bytes.max(*peak);
        }
        let mut left: Vec<Live> = live.into_values().collect();
        left.sort_by_key(|block| block.block);
        for block in left {
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

impl TraceSummary {
    fn count_block(&mut self, size: u64) {
        self.blocks += 1;
        self.bytes += size;
        if size >= LARGE_BYTES {
            self.large_blocks += 1;
            self.large_bytes += size;
        }
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

    /// Operation, block and size of each step of a thread.
    fn steps(trace: &Trace, thread: usize) -> Vec<(Operation, u32, u32)> {
        (0..trace.spans())
            .flat_map(|span| trace.steps(thread, span))
            .map(|step| (step.operation, step.block, step.size))
            .collect()
    }

    fn written(name: &str, requests: &[Request], spans: usize) -> (Trace, TraceSummary) {
        let name = format!("{name}-{}.trace", std::process::id());
        let path = std::env::temp_dir().join(name);
        let summary = Trace::write(&path, requests, spans).unwrap();
        let trace = Trace::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        (trace, summary)
    }

    #[test]
    fn blocks_keep_their_numbers_when_an_address_is_used_again_and_when_they_are_resized() {
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
        assert_eq!(trace.blocks(), 4);
        assert_eq!(
            summary,
            TraceSummary {
                threads: 2,
                requests: 7,
                blocks: 4,
                large_blocks: 2,
                bytes: 160_150,
                large_bytes: 160_000,
                peak_live_bytes: 90_050,
                freed_elsewhere: 2,
            }
        );
    }

    #[test]
    fn what_was_there_before_is_left_out_and_what_is_left_is_freed() {
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
    fn another_file_is_refused() {
        let path = std::env::temp_dir().join(format!("no-trace-{}", std::process::id()));
        std::fs::write(&path, [1; 40]).unwrap();
        assert!(Trace::open(&path).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
