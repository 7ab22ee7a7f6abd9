//! Replaces characters and reduces whitespace, one character at a time.

use crate::text::normalize::{TERMINAL_PUNCTUATION, TextOptions};
use crate::text::unicode::is_space;

/// A position in the characters of a text after all replacements, before its first letter and its end
/// are changed.
///
/// With replacements, each run of whitespace becomes one space, and a comma, semicolon or colon right
/// after the end of a sentence is removed (left over if a quote between them was deleted). Then line
/// breaks become spaces, and each pair of spaces becomes one.
#[derive(Debug, Clone, Default)]
pub(super) struct Rewrite {
    /// The next byte of the text.
    at: usize,
    /// The character that is being replaced, and the next byte of its replacement.
    replaced: Option<(char, usize)>,
    /// A character that was read after a run of whitespace.
    after_spaces: Option<char>,
    has_word: bool,
    /// Characters that were read after the end of a sentence.
    ahead: [Option<char>; 2],
    after_space: bool,
}

/// A text and its options.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) options: &'a TextOptions,
}

impl Rewrite {
    /// Returns the next character of `source`, which is the same in every call.
    pub(super) fn next(&mut self, source: Source<'_>) -> Option<char> {
        loop {
            let c = match source.options.replace_characters.is_empty() {
                true => self.read(source)?,
                false => self.unmarked(source)?,
            };
            let c = match c {
                '\n' | '\r' => ' ',
                ';' if source.options.remove_semicolons => ',',
                c => c,
            };
            // Three spaces become two, as in the reference.
            if c != ' ' {
                self.after_space = false;
                return Some(c);
            }
            self.after_space = !self.after_space;
            if self.after_space {
                return Some(' ');
            }
        }
    }

    fn read(&mut self, source: Source<'_>) -> Option<char> {
        let c = source.text[self.at..].chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn replaced(&mut self, source: Source<'_>) -> Option<char> {
        let replacements = &source.options.replace_characters;
        loop {
            if let Some((c, at)) = self.replaced {
                let rest = replacements.get(&c).and_then(|text| text.get(at..));
                if let Some(next) = rest.and_then(|rest| rest.chars().next()) {
                    self.replaced = Some((c, at + next.len_utf8()));
                    return Some(next);
                }
                self.replaced = None;
            }
            let c = self.read(source)?;
            if !replacements.contains_key(&c) {
                return Some(c);
            }
            self.replaced = Some((c, 0));
        }
    }

    /// Reduces each run of whitespace to one space, and drops those at the start and at the end.
    fn spaced(&mut self, source: Source<'_>) -> Option<char> {
        if let Some(c) = self.after_spaces.take() {
            return Some(c);
        }
        let mut c = self.replaced(source)?;
        if !is_space(c) {
            self.has_word = true;
            return Some(c);
        }
        while is_space(c) {
            c = self.replaced(source)?;
        }
        if !std::mem::replace(&mut self.has_word, true) {
            return Some(c);
        }
        self.after_spaces = Some(c);
        Some(' ')
    }

    /// Removes the mark after the end of a sentence.
    fn unmarked(&mut self, source: Source<'_>) -> Option<char> {
        let [first, second] = &mut self.ahead;
        let c = match first.take() {
            Some(c) => {
                *first = second.take();
                c
            }
            None => self.spaced(source)?,
        };
        if TERMINAL_PUNCTUATION.contains(&c) {
            let mut next = self.take_ahead(source);
            let mut space = None;
            if next.is_some_and(is_space) {
                space = next;
                next = self.take_ahead(source);
            }
            if !matches!(next, Some(',' | ';' | ':')) {
                self.ahead = match space {
                    Some(_) => [space, next],
                    None => [next, None],
                };
            }
        }
        Some(c)
    }

    fn take_ahead(&mut self, source: Source<'_>) -> Option<char> {
        let [first, second] = &mut self.ahead;
        match first.take() {
            Some(c) => {
                *first = second.take();
                Some(c)
            }
            None => self.spaced(source),
        }
    }
}
