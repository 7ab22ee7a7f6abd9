//! Tidying a text into the form the models were trained on.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::text::unicode::{is_space, strip, words};

/// Ends of a sentence; the last is the ellipsis character.
const TERMINAL_PUNCTUATION: [char; 4] = ['.', '!', '?', '\u{2026}'];
/// What a sentence does not end with: replaced by a full stop at the end of a text. The last two
/// are the en and the em dash.
const WEAK_PUNCTUATION: [char; 6] = [',', ';', ':', '-', '\u{2013}', '\u{2014}'];
/// Closing quotes and brackets, which may follow the end of a sentence.
const CLOSERS: [char; 7] = ['"', '\'', '\u{201D}', '\u{2019}', ')', ']', '\u{BB}'];
/// Texts of fewer words than this are padded, where the model wants it.
const PADDED_BELOW_WORDS: usize = 5;
/// The padding. It raises the token count of tokenizers that keep leading spaces.
const PADDING: &str = "        ";
/// Texts of at most this many words are followed by more frames after the end of speech.
const SHORT_TEXT_WORDS: usize = 4;

/// How a model wants its text prepared. Each field is the key of the same name in the model's
/// configuration; the default is what a configuration without these keys means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextOptions {
    /// Put eight spaces before texts of fewer than five words.
    pub pad_with_spaces_for_short_inputs: bool,
    /// Turn each `;` into `,`.
    pub remove_semicolons: bool,
    /// End the text with `.` unless it ends with one of `.!?…`, closing quotes and brackets aside.
    pub append_terminal_punctuation: bool,
    /// Turn the first character to upper case.
    pub capitalize_first_letter: bool,
    /// Characters to replace, each with what stands in its place (nothing deletes it). When there
    /// are any, runs of whitespace also become one space.
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

/// A text as the model is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedText {
    /// The text, never empty.
    pub text: String,
    /// How many frames to generate after the end of speech, before the reference adds 2 to it: 3
    /// for at most four words, else 1. Used where neither the caller nor the model says.
    pub frames_after_eos_guess: usize,
}

/// Prepares `text` as the reference does before it tokenizes.
///
/// # Errors
/// [`Error::EmptyText`] when the text is empty, all whitespace, or made only of characters that
/// `options` deletes.
///
/// ```
/// use tts_core::text::{TextOptions, prepare};
///
/// let prepared = prepare(" hello world, ", &TextOptions::default())?;
/// assert_eq!(prepared.text, "Hello world.");
/// assert_eq!(prepared.frames_after_eos_guess, 3);
/// # Ok::<(), tts_core::error::Error>(())
/// ```
pub fn prepare(text: &str, options: &TextOptions) -> Result<PreparedText> {
    let replaced = replace(strip(text), &options.replace_characters);
    if replaced.is_empty() {
        return Err(Error::EmptyText);
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
    Ok(PreparedText {
        text,
        frames_after_eos_guess: if is_short { 3 } else { 1 },
    })
}

/// Replaces characters, makes each run of whitespace one space, and removes a comma, semicolon or
/// colon right after the end of a sentence (left over where a quote between them was deleted).
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

/// Turns the first character to upper case, by the full mapping (`ß` becomes `SS`).
fn capitalize(text: &str) -> String {
    let mut rest = text.chars();
    match rest.next() {
        // Not the same as mapping always: some capitals have a mapping of their own.
        Some(first) if !first.is_uppercase() => {
            first.to_uppercase().chain(rest.as_str().chars()).collect()
        }
        _ => text.to_owned(),
    }
}

/// Makes `text` end as a sentence does. Closing quotes and brackets stay last after a weak mark is
/// replaced; otherwise the full stop comes after them, since a quote alone behind a full stop would
/// be split off as a chunk of its own.
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
