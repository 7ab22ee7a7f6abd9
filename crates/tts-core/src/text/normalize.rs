//! Normalizes a text to the form that the models were trained on.

mod rewrite;

use std::char::ToUppercase;
use std::collections::BTreeMap;

use crate::text::error::TextError;
use crate::text::unicode::{is_space, strip, words};
use rewrite::{Rewrite, Source};

/// Characters that end a sentence; the last is the ellipsis.
const TERMINAL_PUNCTUATION: [char; 4] = ['.', '!', '?', '\u{2026}'];
/// Characters that are replaced by a full stop at the end of a text. The last two are the en dash
/// and the em dash.
const WEAK_PUNCTUATION: [char; 6] = [',', ';', ':', '-', '\u{2013}', '\u{2014}'];
/// Closing quotes and brackets that may follow the end of a sentence.
const CLOSERS: [char; 7] = ['"', '\'', '\u{201D}', '\u{2019}', ')', ']', '\u{BB}'];
/// Texts of fewer words are padded if the model's config asks for it.
const PADDED_BELOW_WORDS: usize = 5;
/// The padding. With tokenizers that keep leading spaces it adds tokens.
const PADDING: &str = "        ";
/// Texts of at most this many words get more frames after the end of speech.
const SHORT_TEXT_WORDS: usize = 4;

/// Normalization rules of a model. Each field corresponds to the key of the same name in the
/// model's config; the defaults are those of a config without these keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextOptions {
    /// Inserts eight spaces before texts of fewer than five words.
    pub pad_with_spaces_for_short_inputs: bool,
    /// Replaces each `;` with `,`.
    pub remove_semicolons: bool,
    /// Appends `.` to a text that does not end with one of `.!?…`, ignoring closing quotes and
    /// brackets.
    pub append_terminal_punctuation: bool,
    /// Converts the first character to upper case.
    pub capitalize_first_letter: bool,
    /// Characters to replace, with their replacements; an empty replacement deletes the character.
    /// If the map is not empty, runs of whitespace also become one space.
    pub replace_characters: BTreeMap<char, String>,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            pad_with_spaces_for_short_inputs: false,
            remove_semicolons: false,
            append_terminal_punctuation: true,
            capitalize_first_letter: true,
            replace_characters: BTreeMap::new(),
        }
    }
}

/// A normalized text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizedText {
    /// The text, never empty.
    pub text: String,
    /// Frames to generate after the end of speech if neither the caller nor the model's config
    /// specifies them: 3 for at most four words, else 1. The reference adds 2 to this.
    pub frames_after_eos_guess: usize,
}

/// Normalizes a text as the reference does before tokenization.
///
/// # Errors
///
/// [`TextError::Empty`] if the text is empty, all whitespace, or consists only of characters that
/// `options` deletes.
///
/// ```
/// use tts_core::text::{TextOptions, normalize};
///
/// let normalized = normalize(" hello world, ", &TextOptions::default())?;
/// assert_eq!(normalized.text, "Hello world.");
/// assert_eq!(normalized.frames_after_eos_guess, 3);
/// # Ok::<(), tts_core::text::TextError>(())
/// ```
pub fn normalize(text: &str, options: &TextOptions) -> Result<NormalizedText, TextError> {
    let text = strip(text);
    let plan = Plan::new(text, options)?;
    let mut chars = NormalizedChars::default();
    let mut normalized = String::with_capacity(text.len());
    normalized.extend(std::iter::from_fn(|| chars.next(text, options, &plan)));
    if options.pad_with_spaces_for_short_inputs
        && words(&normalized).nth(PADDED_BELOW_WORDS - 1).is_none()
    {
        normalized.insert_str(0, PADDING);
    }
    Ok(NormalizedText {
        text: normalized,
        frames_after_eos_guess: if plan.is_short { 3 } else { 1 },
    })
}

/// What must be known of a whole text before its normalized form is read.
#[derive(Debug)]
pub(super) struct Plan {
    is_short: bool,
    ending: Ending,
}

/// How a text is ended with sentence punctuation. Closing quotes and brackets stay last if a weak mark is
/// replaced. Otherwise the full stop comes after them, because a single quote after a full stop would become
/// a segment of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Unchanged,
    FullStop,
    /// A full stop replaces these bytes of the text after all replacements.
    Replace {
        start: usize,
        end: usize,
    },
}

impl Plan {
    /// Reads a text without surrounding whitespace.
    pub(super) fn new(text: &str, options: &TextOptions) -> Result<Self, TextError> {
        let source = Source { text, options };
        let mut rewrite = Rewrite::default();
        let (mut length, mut word_count, mut in_word) = (0, 0, false);
        // The last character other than spaces and closers, and the start of the closers after it.
        let (mut core, mut closers_start) = (None, None);
        // The end of the last character that is neither a space nor weak: of all, and up to the core.
        let (mut strong_end, mut core_strong_end) = (0, 0);
        while let Some(c) = rewrite.next(source) {
            let start = length;
            length += c.len_utf8();
            word_count += usize::from(!is_space(c) && !in_word);
            in_word = !is_space(c);
            if c != ' ' && !WEAK_PUNCTUATION.contains(&c) {
                strong_end = length;
            }
            if CLOSERS.contains(&c) {
                closers_start.get_or_insert(start);
            } else if c != ' ' {
                core = Some(c);
                core_strong_end = strong_end;
                closers_start = None;
            }
        }
        if length == 0 {
            return Err(TextError::Empty);
        }
        let ending = match core.filter(|_| options.append_terminal_punctuation) {
            None => Ending::Unchanged,
            Some(last) if TERMINAL_PUNCTUATION.contains(&last) => Ending::Unchanged,
            Some(last) if WEAK_PUNCTUATION.contains(&last) => Ending::Replace {
                start: core_strong_end,
                end: closers_start.unwrap_or(length),
            },
            Some(_) => Ending::FullStop,
        };
        Ok(Self {
            is_short: word_count <= SHORT_TEXT_WORDS,
            ending,
        })
    }
}

/// A position in the normalized form of a text, without padding.
#[derive(Debug, Clone, Default)]
pub(super) struct NormalizedChars {
    rewrite: Rewrite,
    /// Bytes after all replacements that were read.
    at: usize,
    /// The rest of the first character in upper case.
    first: Option<ToUppercase>,
    has_ended: bool,
}

impl NormalizedChars {
    /// Returns the next character. The arguments are the same in every call.
    pub(super) fn next(&mut self, text: &str, options: &TextOptions, plan: &Plan) -> Option<char> {
        if let Some(c) = self.first.as_mut().and_then(Iterator::next) {
            return Some(c);
        }
        let source = Source { text, options };
        if let Ending::Replace { start, end } = plan.ending
            && self.at == start
        {
            while self.at < end {
                self.at += self.rewrite.next(source)?.len_utf8();
            }
            return Some('.');
        }
        let Some(c) = self.rewrite.next(source) else {
            let has_ended = std::mem::replace(&mut self.has_ended, true);
            return (plan.ending == Ending::FullStop && !has_ended).then_some('.');
        };
        let is_first = self.at == 0;
        self.at += c.len_utf8();
        // By the full mapping (`ß` becomes `SS`). Mapping every character would differ: some capitals have
        // a mapping of their own.
        if is_first && options.capitalize_first_letter && !c.is_uppercase() {
            return self.first.insert(c.to_uppercase()).next();
        }
        Some(c)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, on whole texts.
    mod definition {
        use super::*;

        pub(super) fn normalize(
            text: &str,
            options: &TextOptions,
        ) -> Result<NormalizedText, TextError> {
            let replaced = replace(strip(text), &options.replace_characters);
            if replaced.is_empty() {
                return Err(TextError::Empty);
            }
            // One pass: three spaces become two, as in the reference.
            let mut text = replaced.replace(['\n', '\r'], " ").replace("  ", " ");
            if options.remove_semicolons {
                text = text.replace(';', ",");
            }
            let is_short = words(&text).nth(SHORT_TEXT_WORDS).is_none();

            if options.capitalize_first_letter {
                text = capitalize(&text);
            }
            if options.append_terminal_punctuation {
                text = end_sentence(text);
            }
            if options.pad_with_spaces_for_short_inputs
                && words(&text).nth(PADDED_BELOW_WORDS - 1).is_none()
            {
                text.insert_str(0, PADDING);
            }
            Ok(NormalizedText {
                text,
                frames_after_eos_guess: if is_short { 3 } else { 1 },
            })
        }

        /// Replaces characters, reduces each run of whitespace to one space, and removes a comma, semicolon
        /// or colon right after the end of a sentence (left over if a quote between them was deleted).
        fn replace(text: &str, replacements: &BTreeMap<char, String>) -> String {
            if replacements.is_empty() {
                return text.to_owned();
            }
            let mut translated = String::with_capacity(text.len());
            for c in text.chars() {
                match replacements.get(&c) {
                    Some(replacement) => translated.push_str(replacement),
                    None => translated.push(c),
                }
            }
            let mut spaced = String::with_capacity(translated.len());
            for word in words(&translated) {
                if !spaced.is_empty() {
                    spaced.push(' ');
                }
                spaced.push_str(word);
            }

            let mut result = String::with_capacity(spaced.len());
            let mut rest = spaced.chars();
            while let Some(c) = rest.next() {
                result.push(c);
                if TERMINAL_PUNCTUATION.contains(&c) {
                    let after_space = rest.as_str().trim_start_matches(is_space);
                    if let Some(after_mark) = after_space.strip_prefix([',', ';', ':']) {
                        rest = after_mark.chars();
                    }
                }
            }
            result
        }

        /// Converts the first character to upper case by the full mapping (`ß` becomes `SS`).
        fn capitalize(text: &str) -> String {
            let mut rest = text.chars();
            match rest.next() {
                // Mapping every character would differ: some capitals have a mapping of their own.
                Some(first) if !first.is_uppercase() => {
                    first.to_uppercase().chain(rest.as_str().chars()).collect()
                }
                _ => text.to_owned(),
            }
        }

        /// Ends `text` with sentence punctuation. Closing quotes and brackets stay last if a weak mark is
        /// replaced. Otherwise the full stop comes after them, because a single quote after a full stop would
        /// become a segment of its own.
        fn end_sentence(mut text: String) -> String {
            let core = text.trim_end_matches(|c| c == ' ' || CLOSERS.contains(&c));
            match core.chars().next_back() {
                None => text,
                Some(last) if TERMINAL_PUNCTUATION.contains(&last) => text,
                Some(last) if WEAK_PUNCTUATION.contains(&last) => {
                    let closers = strip(&text[core.len()..]);
                    let kept = core.trim_end_matches(|c| c == ' ' || WEAK_PUNCTUATION.contains(&c));
                    format!("{kept}.{closers}")
                }
                Some(_) => {
                    text.push('.');
                    text
                }
            }
        }
    }

    fn options() -> impl Strategy<Value = TextOptions> {
        let replacements = vec![
            ('"', ""),
            ('\u{2019}', "'"),
            ('\u{2014}', ","),
            ('~', " - "),
            ('#', "\t"),
        ];
        let replacements = prop::sample::subsequence(replacements, 0..=5);
        (any::<[bool; 4]>(), replacements).prop_map(|(switches, replacements)| TextOptions {
            pad_with_spaces_for_short_inputs: switches[0],
            remove_semicolons: switches[1],
            append_terminal_punctuation: switches[2],
            capitalize_first_letter: switches[3],
            replace_characters: replacements
                .into_iter()
                .map(|(from, to)| (from, to.to_owned()))
                .collect(),
        })
    }

    /// Texts of the characters that the rules mention.
    fn texts() -> impl Strategy<Value = String> {
        const CHARS: &str = "abŉß   ;:,.!?\"')…’—~#\n\t-";
        let chars = prop::sample::select(CHARS.chars().collect::<Vec<_>>());
        prop::collection::vec(chars, 0..20).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn text_read_by_character_equals_the_definition(text in texts(), options in options()) {
            prop_assert_eq!(
                normalize(&text, &options).ok(),
                definition::normalize(&text, &options).ok()
            );
        }
    }
}
