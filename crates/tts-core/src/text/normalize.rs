//! Normalizes a text to the form that the models were trained on.

use std::collections::BTreeMap;

use crate::text::error::TextError;
use crate::text::unicode::{is_space, strip, words};

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
