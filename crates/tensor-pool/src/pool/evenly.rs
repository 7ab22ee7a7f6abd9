//! How leases are spread over the parts of their table.

use std::hash::{BuildHasher, Hasher};

/// 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, volume 3, 6.4).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Spreads numbers that follow each other evenly, so that no part of a table holds many more of them
/// than another: with a random hash each part grows now and then, as long as there are new numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evenly;

#[derive(Debug)]
pub(super) struct Multiplied(u64);

impl BuildHasher for Evenly {
    type Hasher = Multiplied;

    fn build_hasher(&self) -> Multiplied {
        Multiplied(0)
    }
}

impl Hasher for Multiplied {
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(GOLDEN);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(GOLDEN);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
