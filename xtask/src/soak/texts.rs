//! Random texts of many kinds.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

/// The largest text. The program accepts 16 MiB.
const MOST_BYTES: f64 = 5e6;

/// A kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    English,
    Words,
    ZeroWidthJoiners,
    ShortClauses,
    Base64,
    Cjk,
    Control,
    OneLetter,
    Digits,
    Newlines,
    Emoji,
    Combining,
}

impl Kind {
    pub(super) const ALL: [Self; 12] = [
        Self::English,
        Self::Words,
        Self::ZeroWidthJoiners,
        Self::ShortClauses,
        Self::Base64,
        Self::Cjk,
        Self::Control,
        Self::OneLetter,
        Self::Digits,
        Self::Newlines,
        Self::Emoji,
        Self::Combining,
    ];

    /// Appends a few characters.
    fn append(self, text: &mut String, random: &mut impl Rng) {
        let words = [
            "the",
            "sun",
            "is",
            "on",
            "a",
            "hill",
            "and",
            "we",
            "go",
            "to",
            "it",
            "quickly",
            "because",
            "Massachusetts",
            "don't",
            "e.g.",
        ];
        let mut word = |text: &mut String| text.push_str(words.choose(random).unwrap_or(&"a"));
        match self {
            Self::English => {
                word(text);
                let end = [" ", " ", " ", " ", " ", ", ", ". ", "? ", "; "];
                text.push_str(end.choose(random).unwrap_or(&" "));
            }
            Self::Words => {
                word(text);
                text.push(' ');
            }
            Self::ZeroWidthJoiners => text.push('\u{200d}'),
            Self::ShortClauses => text.push_str("a,"),
            Self::Base64 => {
                let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
                text.push(char::from(*digits.choose(random).unwrap_or(&b'A')));
            }
            Self::Cjk => {
                let code = random.random_range(0x4e00..0x9fa0);
                text.extend(char::from_u32(code));
                if random.random_bool(0.05) {
                    text.push('。');
                }
            }
            Self::Control => {
                let code = random.random_range(1..0x20_u32);
                text.extend(char::from_u32(code));
                if random.random_bool(0.1) {
                    text.push('b');
                }
            }
            Self::OneLetter => text.push('a'),
            Self::Digits => text.push(char::from(random.random_range(b'0'..=b'9'))),
            Self::Newlines => text.push_str("\n\n \t"),
            Self::Emoji => text.push_str("👩‍👩‍👧"),
            Self::Combining => text.push_str("e\u{301}\u{302}\u{300}"),
        }
    }
}

/// Returns a text. Its length is from a few bytes to the maximum; short and long texts are equally
/// frequent on a logarithmic scale.
pub(super) fn text(kind: Kind, random: &mut impl Rng) -> String {
    let length = MOST_BYTES.powf(random.random_range(0.1..1.0)) as usize;
    // Long texts repeat one stretch, so that writing them takes no time.
    let mut stretch = String::new();
    while stretch.len() < length.min(20_000) {
        kind.append(&mut stretch, random);
    }
    let mut text = String::with_capacity(length + stretch.len());
    // Some texts begin or end with something that can be spoken.
    if random.random_bool(0.3) {
        text.push_str("Hello world. ");
    }
    while text.len() < length {
        text.push_str(&stretch);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn lengths_are_spread_up_to_the_maximum() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let lengths: Vec<usize> = (0..200)
            .map(|_| text(Kind::English, &mut random).len())
            .collect();
        assert!(lengths.iter().any(|&length| length < 100));
        assert!(lengths.iter().any(|&length| length > 1_000_000));
        assert!(lengths.iter().all(|&length| length <= 5_100_000));
    }
}
