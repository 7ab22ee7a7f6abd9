//! The sentences that the program speaks.

/// A group of sentences with its own maximum error rate.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) sentences: Vec<&'static str>,
    /// The largest accepted word error rate.
    pub(super) max_error_rate: f64,
}

/// The groups, in the order in which they are spoken.
///
/// The maxima depend on the model. With it, the reference implementation has these word error rates in
/// single takes of all twenty sentences: 16 to 20 % for the Harvard sentences (18 % on average), 7 to
/// 16 % for the everyday sentences (11 % on average).
pub(super) fn groups() -> [Group; 2] {
    [
        Group {
            name: "Harvard sentences",
            sentences: HARVARD.to_vec(),
            max_error_rate: 0.27,
        },
        Group {
            name: "everyday sentences",
            sentences: EVERYDAY.lines().collect(),
            max_error_rate: 0.18,
        },
    ]
}

/// A text of two words, spoken with several seeds. The model is unreliable on very short texts, so this
/// text has no maximum error rate.
pub(super) const SHORT_TEXT: &str = "Hello world.";

/// The first two lists of the Harvard sentences (IEEE Recommended Practice for Speech Quality
/// Measurements, 1969). Each list has the sounds of English in their usual proportions.
const HARVARD: [&str; 20] = [
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It's easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "The hogs were fed chopped corn and garbage.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
    "The boy was there when the sun rose.",
    "A rod is used to catch pink salmon.",
    "The source of the huge river is the clear spring.",
    "Kick the ball straight and follow through.",
    "Help the woman get back to her feet.",
    "A pot of tea helps to pass the evening.",
    "Smoky fires lack flame and heat.",
    "The soft cushion broke the man's fall.",
    "The salt breeze came across from the sea.",
    "The girl at the booth sold fifty bonds.",
];

/// Everyday English, one sentence per line.
const EVERYDAY: &str = include_str!("../../listen/everyday.txt");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_twenty_different_sentences() {
        for group in groups() {
            let mut sentences = group.sentences;
            assert!(sentences.iter().all(|line| line.ends_with(['.', '?'])));
            sentences.sort_unstable();
            sentences.dedup();
            assert_eq!(sentences.len(), 20, "{}", group.name);
        }
    }
}
