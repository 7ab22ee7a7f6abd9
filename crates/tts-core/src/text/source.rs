//! Texts that are read in stretches: normalized on demand, or as they are.

use std::sync::Arc;

use crate::text::error::{Result, TextError};
use crate::text::normalize::{NormalizedChars, Plan, TextOptions};
use crate::text::unicode::strip;

/// A text with the rules that normalize it. The normalized text is never held.
#[derive(Debug)]
pub(super) struct SourceText {
    text: String,
    options: TextOptions,
    plan: Plan,
}

impl SourceText {
    /// Reads a text once.
    pub(super) fn new(text: String, options: TextOptions) -> Result<Self> {
        // Models generate unintelligible speech for emoji or punctuation alone.
        if !text.chars().any(char::is_alphanumeric) {
            return Err(TextError::Empty);
        }
        Self::any(text, options)
    }

    /// As [`Self::new`], also for a text without letters and digits.
    pub(super) fn any(text: String, options: TextOptions) -> Result<Self> {
        Ok(Self {
            plan: Plan::new(strip(&text), &options)?,
            text,
            options,
        })
    }

    pub(super) fn options(&self) -> &TextOptions {
        &self.options
    }

    /// Returns the bytes of the text.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Returns the bytes allocated for the text.
    pub(super) fn size_bytes(&self) -> usize {
        self.text.capacity()
    }
}

/// A text that is read from its start to its end.
#[derive(Debug)]
pub(super) enum Source {
    /// A text that is normalized while it is read.
    Normalized {
        text: Arc<SourceText>,
        chars: NormalizedChars,
    },
    /// A text that was read at once.
    Whole,
}

impl Source {
    pub(super) fn normalized(text: Arc<SourceText>) -> Self {
        Self::Normalized {
            text,
            chars: NormalizedChars::default(),
        }
    }

    /// Appends characters to `buffer` until it has at least `bytes`. Returns whether the text has ended.
    pub(super) fn fill(&mut self, buffer: &mut String, bytes: usize) -> bool {
        let Self::Normalized { text, chars } = self else {
            return true;
        };
        let stripped = strip(&text.text);
        while buffer.len() < bytes {
            match chars.next(stripped, &text.options, &text.plan) {
                Some(c) => buffer.push(c),
                None => return true,
            }
        }
        false
    }
}

crate::traced::trace_fields!(SourceText:);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::normalize::normalize;

    #[test]
    fn text_read_in_stretches_is_the_normalized_text() {
        let text = " hello  world, with\nthree   spaces -) ";
        let options = TextOptions::default();
        let expected = normalize(text, &options).unwrap().text;
        let source = SourceText::new(text.to_owned(), options).unwrap();
        let mut source = Source::normalized(Arc::new(source));
        let mut read = String::new();
        let mut has_ended = false;
        while !has_ended {
            let bytes = read.len() + 3;
            has_ended = source.fill(&mut read, bytes);
        }
        assert_eq!(read, expected);
    }
}
