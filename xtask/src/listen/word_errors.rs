//! The word error rate: how many words must be changed, put in or taken out of what was heard to get
//! what was said, over the number of words said.

use std::fmt;
use std::iter::Sum;
use std::ops::AddAssign;

/// Wrong words, and how many were said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WordErrors {
    pub(super) edits: usize,
    pub(super) words: usize,
}

impl WordErrors {
    /// Compares without regard to case and punctuation.
    pub(super) fn between(said: &str, heard: &str) -> Self {
        let said = words(said);
        Self {
            edits: edit_distance(&said, &words(heard)),
            words: said.len(),
        }
    }

    /// Wrong words per word said: over 1 where more was heard than said.
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

/// The words of a text, in lower case. An apostrophe belongs to its word and is left out; any other
/// punctuation stands between words.
pub(super) fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .replace(['\'', '\u{2019}'], "")
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The Levenshtein distance in words, one row of the table at a time.
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

    fn edits(said: &str, heard: &str) -> usize {
        WordErrors::between(said, heard).edits
    }

    #[test]
    fn case_and_punctuation_do_not_count() {
        assert_eq!(
            edits("It's easy, isn't it?", "its EASY — isn\u{2019}t it"),
            0
        );
        assert_eq!(words("A well-known  tune."), ["a", "well", "known", "tune"]);
    }

    #[test]
    fn each_kind_of_error_counts_once() {
        assert_eq!(edits("a b c d", "a x c d"), 1);
        assert_eq!(edits("a b c d", "a c d"), 1);
        assert_eq!(edits("a b c d", "a b c d e"), 1);
        assert_eq!(edits("a b c d", "b c x d e"), 3);
    }

    #[test]
    fn silence_makes_every_word_wrong_and_babble_more_than_every_word() {
        let silence = WordErrors::between("a b c d", "");
        assert_eq!(silence, WordErrors { edits: 4, words: 4 });
        assert_eq!(WordErrors::between("a", "b c d").rate(), 3.0);
    }

    #[test]
    fn sums_weigh_sentences_by_their_words() {
        let sum: WordErrors = [("a b c", "a b c"), ("a", "b")]
            .into_iter()
            .map(|(said, heard)| WordErrors::between(said, heard))
            .sum();
        assert_eq!(sum.rate(), 0.25);
        assert_eq!(sum.to_string(), "25.0 % (1 of 4)");
    }
}
