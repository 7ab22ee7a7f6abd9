//! What speech will take, told before it starts.

use std::fmt;

use bytesize::ByteSize;
use serde::Serialize;
use tts_core::memory::{StreamNeed, counted, present};
use tts_core::{Model, PartSize, Voice};

use super::context::MemoryContext;
use super::format::write_table;

/// What speaking a text will take: the most counted bytes of the process, by what they are for.
///
/// It is an upper bound that follows from the sizes of the model and of the text's longest part, when the
/// speech of each part is as long as it may become. Displays as a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MemoryPlan {
    /// Parts that the text is spoken in.
    pub parts: usize,
    /// Parts that are spoken at once.
    pub batch_size: usize,
    /// Tokens of the longest part.
    pub longest_part_tokens: usize,
    /// Most frames of its speech.
    pub longest_part_frames: usize,
    /// What each thing takes.
    pub terms: Vec<PlannedBytes>,
    /// All of it: the most that the process will hold.
    pub peak_bytes: u64,
    /// The limit that holds here.
    pub limit_bytes: Option<u64>,
}

/// What one thing takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedBytes {
    /// What.
    pub name: &'static str,
    /// How much.
    pub bytes: u64,
}

impl MemoryPlan {
    /// Whether it stays within the limit; anything does where there is none.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.shortfall_bytes() == 0
    }

    /// What the limit is too low by.
    #[must_use]
    pub fn shortfall_bytes(&self) -> u64 {
        self.limit_bytes
            .map_or(0, |limit| self.peak_bytes.saturating_sub(limit))
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {} at once; the longest has {} tokens and up to {} frames",
            parts(self.parts),
            self.batch_size,
            self.longest_part_tokens,
            self.longest_part_frames,
        )?;
        let row = |name: &str, bytes: u64| [name.to_owned(), ByteSize::b(bytes).to_string()];
        let mut rows: Vec<_> = self
            .terms
            .iter()
            .map(|term| row(term.name, term.bytes))
            .collect();
        rows.push(row("peak", self.peak_bytes));
        rows.extend(self.limit_bytes.map(|limit| row("limit", limit)));
        write_table(f, ["what for", "up to"], rows)
    }
}

fn parts(count: usize) -> String {
    match count {
        1 => "1 part".to_owned(),
        count => format!("{count} parts"),
    }
}

impl MemoryPlan {
    /// Of parts of some texts, at the largest batch size up to `wanted` that fits the limit that holds
    /// here.
    pub(crate) fn new(
        model: &Model,
        voices: &[&Voice],
        parts: &[PartSize],
        need: &StreamNeed,
        wanted: usize,
    ) -> Self {
        let pool = model.memory_pool();
        pool.trim(0);
        let wanted = wanted.min(parts.len()).max(1);
        let limit = MemoryContext::current().limit_bytes();
        // What is there now, and a batch as large as then fits.
        let present = present(pool);
        let fits = |size: &usize| limit.is_none_or(|limit| present + need.bytes(*size) <= limit);
        let batch_size = (1..=wanted).rev().find(fits).unwrap_or(1);

        let size = model.size();
        let weights =
            (size.flow_lm_bytes + size.decoder_bytes + size.encoder_bytes.unwrap_or(0)) as u64;
        let mapped = counted(pool).mapped;
        let mut distinct: Vec<&Voice> = Vec::new();
        for voice in voices {
            if !distinct.iter().any(|other| other.is_same(voice)) {
                distinct.push(voice);
            }
        }
        let voice = distinct.iter().map(|voice| voice.bytes()).sum::<usize>() as u64;
        let times = |bytes: u64| bytes * batch_size as u64;
        let terms = [
            ("weights, prepared", weights),
            ("weights, mapped", mapped),
            ("voices", voice),
            (
                "what else the program holds",
                present
                    .saturating_sub(weights)
                    .saturating_sub(mapped)
                    .saturating_sub(voice),
            ),
            ("keys and values", times(need.keys_and_values_per_part)),
            ("decoder state", need.decoder_state),
            (
                "scratch and waiting latents",
                need.scratch + times(need.scratch_per_part),
            ),
            ("queues and bookkeeping", need.queues),
            ("audio", need.audio),
        ];
        let longest = parts.iter().max_by_key(|part| part.positions());
        Self {
            parts: parts.len(),
            batch_size,
            longest_part_tokens: longest.map_or(0, |part| part.tokens),
            longest_part_frames: longest.map_or(0, |part| part.max_frames),
            peak_bytes: present + need.bytes(batch_size),
            terms: terms
                .into_iter()
                .filter(|(_, bytes)| *bytes > 0)
                .map(|(name, bytes)| PlannedBytes { name, bytes })
                .collect(),
            limit_bytes: limit,
        }
    }
}
