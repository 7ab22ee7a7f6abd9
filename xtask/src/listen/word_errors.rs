//! The word error rate: the word substitutions, insertions and deletions that turn the text into its
//! transcript, divided by the number of words in the text.

use std::fmt;
use std::iter::Sum;
use std::ops::AddAssign;

/// Wrong words, and the number of words in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WordErrors {
    pub(super) edits: usize,
    pub(super) words: usize,
}

impl WordErrors {
    /// Compares a text with its transcript, ignoring case and punctuation.
    pub(super) fn between(text: &str, transcript: &str) -> Self {
        let text = words(text);
        Self {
            edits: edit_distance(&text, &words(transcript)),
            words: text.len(),
        }
    }

    /// Wrong words per word of the text; over 1 if the transcript has many extra words.
    pub(super) fn rate(self) -> f64 {
        self.edits as f64 / self.words as f64
    }
}

impl AddAssign for WordErrors {
    fn add_assign(&mut self, other: Self) {
        self.edits += other.edits;
        self.words += other.words;
    }
}

impl Sum for WordErrors {
    fn sum<I: Iterator<Item = Self>>(errors: I) -> Self {
        let mut sum = Self::default();
        for one in errors {
            sum += one;
        }
        sum
    }
}

impl fmt::Display for WordErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} % ({} of {})",
            100.0 * self.rate(),
            self.edits,
            self.words
        )
    }
}

/// Returns the words of a text in lower case. Apostrophes are removed; other punctuation separates words.
pub(super) fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .replace(['\'', '\u{2019}'], "")
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns the Levenshtein distance in words, computed one table row at a time.
fn edit_distance(from: &[String], to: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(text: &str, transcript: &str) -> usize {
        WordErrors::between(text, transcript).edits
    }

    #[test]
    fn ignores_case_and_punctuation() {
        assert_eq!(
            edits("It's easy, isn't it?", "its EASY — isn\u{2019}t it"),
            0
        );
        assert_eq!(words("A well-known  tune."), ["a", "well", "known", "tune"]);
    }

    #[test]
    fn counts_each_kind_of_error_once() {
        assert_eq!(edits("a b c d", "a x c d"), 1);
        assert_eq!(edits("a b c d", "a c d"), 1);
        assert_eq!(edits("a b c d", "a b c d e"), 1);
        assert_eq!(edits("a b c d", "b c x d e"), 3);
    }

    #[test]
    fn silence_is_100_percent_and_extra_words_are_more() {
        let silence = WordErrors::between("a b c d", "");
        assert_eq!(silence, WordErrors { edits: 4, words: 4 });
        assert_eq!(WordErrors::between("a", "b c d").rate(), 3.0);
    }

    #[test]
    fn sums_weight_sentences_by_their_words() {
        let sum: WordErrors = [("a b c", "a b c"), ("a", "b")]
            .into_iter()
            .map(|(text, transcript)| WordErrors::between(text, transcript))
            .sum();
        assert_eq!(sum.rate(), 0.25);
        assert_eq!(sum.to_string(), "25.0 % (1 of 4)");
    }
}
