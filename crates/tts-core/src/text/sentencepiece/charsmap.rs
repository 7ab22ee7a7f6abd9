//! The character map of a SentencePiece model's normalizer.

/// The bits of a unit that contain its label. The top bit is set in units that are values, so their label
/// never equals a byte.
const LABEL_BITS: u32 = 0x8000_00FF;
/// The bits of a value.
const VALUE_BITS: u32 = 0x7FFF_FFFF;

/// A model's `precompiled_charsmap`: a double-array trie from character sequences to their replacements, in
/// the layout of the Darts-clone library.
#[derive(Debug)]
pub(in crate::text) struct CharsMap {
    units: Vec<u32>,
    /// The replacements, each ended by a zero byte.
    replacements: Vec<u8>,
}

impl CharsMap {
    pub(in crate::text) fn new(blob: &[u8]) -> Result<Self, String> {
        if blob.is_empty() {
            return Ok(Self {
                units: Vec::new(),
                replacements: Vec::new(),
            });
        }
        let (units, replacements) = blob
            .split_first_chunk::<4>()
            .and_then(|(size, rest)| rest.split_at_checked(u32::from_le_bytes(*size) as usize))
            .ok_or(
                "its normalization map (`precompiled_charsmap`) is cut short; download it again",
            )?;
        let (units, odd_bytes) = units.as_chunks::<4>();
        if units.is_empty() || !odd_bytes.is_empty() {
            return Err(
                "the trie of its normalization map (`precompiled_charsmap`) is damaged; fetch it \
                 again"
                    .to_owned(),
            );
        }
        Ok(Self {
            units: units.iter().map(|&unit| u32::from_le_bytes(unit)).collect(),
            replacements: replacements.to_vec(),
        })
    }

    /// Checks that no text leads outside the map, for readers without bounds checks, and that all
    /// replacements are UTF-8. The error is the defect.
    pub(in crate::text) fn check(&self) -> Result<(), String> {
        let damaged = || {
            "its normalization map (`precompiled_charsmap`) is damaged; download it again"
                .to_owned()
        };
        let replacements = str::from_utf8(&self.replacements).map_err(|_| damaged())?;
        let mut seen = vec![false; self.units.len()];
        let mut waiting = vec![offset(*self.units.first().ok_or_else(damaged)?)];
        while let Some(node) = waiting.pop() {
            // The children of a node are in the block of 256 units around it.
            if (node | 0xFF) as usize >= self.units.len() {
                return Err(damaged());
            }
            for byte in 1..=0xFF {
                let child = (node ^ byte) as usize;
                let unit = self.units[child];
                if unit & LABEL_BITS != byte || std::mem::replace(&mut seen[child], true) {
                    continue;
                }
                let below = child as u32 ^ offset(unit);
                if has_value(unit) {
                    let value = self.units.get(below as usize).ok_or_else(damaged)?;
                    let start = (value & VALUE_BITS) as usize;
                    replacements.get(start..).ok_or_else(damaged)?;
                }
                waiting.push(below);
            }
        }
        Ok(())
    }

    /// Returns the replacement of the longest rule that `text` begins with, and the length of the replaced
    /// text; `None` if an offset of a damaged map is out of bounds.
    pub(super) fn longest(&self, text: &[u8]) -> Option<(&[u8], usize)> {
        let mut found = None;
        let mut node = offset(*self.units.first()?);
        for (index, &byte) in text.iter().enumerate() {
            node ^= u32::from(byte);
            let Some(&unit) = self.units.get(node as usize) else {
                break;
            };
            if unit & LABEL_BITS != u32::from(byte) {
                break;
            }
            node ^= offset(unit);
            if has_value(unit)
                && let Some(&value) = self.units.get(node as usize)
            {
                found = Some((value & VALUE_BITS, index + 1));
            }
        }
        let (start, length) = found?;
        let rest = self.replacements.get(start as usize..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        Some((&rest[..end], length))
    }
}

fn has_value(unit: u32) -> bool {
    (unit >> 8) & 1 == 1
}

/// Returns the distance of a node's children, which the layout packs into 21 bits and a scale.
fn offset(unit: u32) -> u32 {
    (unit >> 10) << ((unit & (1 << 9)) >> 6)
}
