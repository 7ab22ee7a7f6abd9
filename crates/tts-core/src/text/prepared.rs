//! Texts that are normalized, cut into segments and tokenized for one model.

mod memory;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::text::error::{Result, TextError};
use crate::text::normalize::{TextOptions, normalize};
use crate::text::segment::{CutStretches, SegmentText, SegmentTexts};
use crate::text::source::SourceText;
use crate::text::tokenizer::{Tokenizer, distinct};
pub(crate) use memory::preparing_bytes;

/// Longest text, in bytes, that is cut when it is prepared. About an hour of speech, which is cut in a few
/// milliseconds.
pub const CUT_AT_ONCE_BYTES: usize = 64 << 10;

/// Bytes that the segments of such a text take at most. A text with more, which consists of unusual
/// characters or very short segments, is cut on demand.
const STORED_BYTES: u64 = 512 << 10;

/// Tokens of a segment in addition to the maximum: up to 8 that its text can have more on its own than in
/// its context, eight spaces, a full stop, and the pieces of a first word that is split differently after
/// its first letter is capitalized. A segment with more is used without its normalization.
const EXTRA_TOKENS: usize = 24;

/// Speaking rate in tokens per second, by which the reference bounds the length of speech.
const TOKENS_PER_SECOND: f64 = 3.0;
/// Seconds added to that bound, as in the reference.
const PADDING_SECONDS: f64 = 2.0;
/// Added to the frames guessed from a text's length, as in the reference.
const EXTRA_FRAMES_AFTER_EOS: usize = 2;

/// Returns the maximum number of frames of a segment.
pub(crate) fn max_frames(tokens: usize, frame_rate: f64) -> usize {
    ((tokens as f64 / TOKENS_PER_SECOND + PADDING_SECONDS) * frame_rate).ceil() as usize
}

/// The length of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentSize {
    /// Tokens of its text.
    pub tokens: usize,
    /// Maximum frames of its speech, which usually ends well before.
    pub max_frames: usize,
}

impl SegmentSize {
    /// Returns the maximum number of FlowLM positions: the tokens, the start of speech, and a latent
    /// for each frame but the last.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.tokens.saturating_add(self.max_frames)
    }
}

/// A piece of a text that is generated on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// The tokens of its normalized text.
    pub tokens: Vec<u32>,
    /// Maximum frames of its speech, which usually ends well before.
    pub max_frames: usize,
    /// Frames to generate after the end of speech is detected.
    pub frames_after_eos: usize,
    /// Characters that the tokenizer cannot express, each once: those that encode to the unknown
    /// token or, where bytes are only a fallback, to single bytes. The model skips or mispronounces
    /// them.
    pub unspeakable: Vec<char>,
    /// Whether this is a piece of a stretch without punctuation that was too long for one segment.
    /// Words are complete unless one is longer than a segment.
    pub in_cut_stretch: bool,
}

impl Segment {
    /// Returns the length of the segment.
    #[must_use]
    pub fn size(&self) -> SegmentSize {
        SegmentSize {
            tokens: self.tokens.len(),
            max_frames: self.max_frames,
        }
    }
}

/// How a model and its caller cut and bound the segments of a text.
#[derive(Clone, Debug)]
pub(crate) struct SegmentRules {
    /// Maximum tokens of a segment.
    pub(crate) max_tokens: NonZeroUsize,
    pub(crate) frame_rate: f64,
    /// The caller's or the model's frames after the end of speech; guessed from the text when `None`.
    pub(crate) frames_after_eos: Option<usize>,
}

/// A text that is normalized, cut into segments and tokenized for one model, made by
/// [`Model::prepare`](crate::Model::prepare). Cheap to clone.
///
/// Texts of up to [`CUT_AT_ONCE_BYTES`] are cut during preparation. Their segments are stored, so
/// predictions of their memory are exact. Longer texts are cut on demand, so the first segment is
/// available without delay. Their predictions assume the largest segment that can occur. The same
/// holds for a shorter text whose segments take more than 512 KiB.
///
/// The text is held once, as it was given, and normalized while it is cut. See [`Self::size_bytes`] and
/// [`Self::cutting_bytes`] for the memory.
///
/// Memory does not depend on the punctuation: no segment has more than `max_tokens` tokens and 24 that
/// its normalization can add. A stretch without any of `.!?,;:` that is longer is cut at spaces, and a
/// word that is longer still is cut between characters, with one warning for the text. The reference
/// speaks such a stretch as one segment. Stretches of up to `max_tokens` tokens are the same here.
#[derive(Clone)]
pub struct PreparedText {
    inner: Arc<Inner>,
}

struct Inner {
    text: Arc<SourceText>,
    tokenizer: Arc<Tokenizer>,
    rules: SegmentRules,
    /// All segments; `None` if the text is cut on demand.
    segments: Option<Vec<Segment>>,
    /// The stretches that were cut; empty if the text is cut on demand.
    cut_stretches: CutStretches,
    has_warned: AtomicBool,
}

impl PreparedText {
    pub(crate) fn new(
        tokenizer: &Arc<Tokenizer>,
        text: String,
        options: &TextOptions,
        rules: SegmentRules,
    ) -> Result<Self> {
        let prepared = Self {
            inner: Arc::new(Inner {
                text: Arc::new(SourceText::new(text, options.clone())?),
                tokenizer: tokenizer.clone(),
                rules,
                segments: None,
                cut_stretches: CutStretches::default(),
                has_warned: AtomicBool::new(false),
            }),
        };
        match prepared.inner.text.len() {
            ..=CUT_AT_ONCE_BYTES => {
                let cut = prepared.cut_within(STORED_BYTES)?;
                Ok(cut.unwrap_or(prepared))
            }
            _ => Ok(prepared),
        }
    }

    /// Returns the text with all of its segments cut, whatever its length.
    ///
    /// # Errors
    ///
    /// The text contains nothing to speak, or the tokenizer fails.
    pub fn cut(&self) -> Result<Self> {
        let cut = self.cut_within(u64::MAX)?;
        Ok(cut.unwrap_or_else(|| self.clone()))
    }

    /// Returns the text with all of its segments cut; `None` if they take more than this many bytes.
    fn cut_within(&self, bytes: u64) -> Result<Option<Self>> {
        if self.inner.segments.is_some() {
            return Ok(Some(self.clone()));
        }
        let inner = &self.inner;
        let mut cutter = OnDemand::new(inner)?;
        let mut segments = Vec::new();
        let mut size_bytes = 0;
        while let Some(segment) = cutter.next(inner).transpose()? {
            size_bytes += segment.size_bytes();
            if size_bytes > bytes {
                return Ok(None);
            }
            segments.push(segment);
        }
        segments.shrink_to_fit();
        let cut_stretches = cutter.texts.cut_stretches().clone();
        if cut_stretches.count > 0 {
            inner.warn_once(Some(cut_stretches.count), &cut_stretches.first);
        }
        Ok(Some(Self {
            inner: Arc::new(Inner {
                text: inner.text.clone(),
                tokenizer: inner.tokenizer.clone(),
                rules: inner.rules.clone(),
                segments: Some(segments),
                cut_stretches,
                has_warned: AtomicBool::new(true),
            }),
        }))
    }

    /// Returns the segments in order: stored ones, or each cut on demand.
    ///
    /// # Errors
    ///
    /// The tokenizer fails. Its errors are also items, and so is [`TextError::Empty`] for a text cut
    /// on demand in which no token remains.
    pub fn segments(&self) -> Result<Segments> {
        let source = match self.inner.segments {
            Some(_) => Source::Stored { next: 0 },
            None => Source::OnDemand(Box::new(OnDemand::new(&self.inner)?)),
        };
        Ok(Segments {
            text: self.clone(),
            source,
        })
    }

    /// Returns the number of segments; `None` if the text is cut on demand.
    #[must_use]
    pub fn segment_count(&self) -> Option<usize> {
        self.inner.segments.as_ref().map(Vec::len)
    }

    /// Returns the stretches without punctuation that were too long for one segment; `None` if the
    /// text is cut on demand. [`Segment::in_cut_stretch`] marks their pieces in either case.
    #[must_use]
    pub fn cut_stretches(&self) -> Option<&CutStretches> {
        let is_cut = self.inner.segments.is_some();
        is_cut.then_some(&self.inner.cut_stretches)
    }

    /// Returns the length of the longest segment. For a text that is cut on demand, it is the
    /// longest one that can occur.
    #[must_use]
    pub fn largest_segment(&self) -> SegmentSize {
        let rules = &self.inner.rules;
        match &self.inner.segments {
            Some(segments) => segments
                .iter()
                .map(Segment::size)
                .max_by_key(SegmentSize::positions)
                .unwrap_or_default(),
            None => {
                let tokens = rules.largest_tokens();
                SegmentSize {
                    tokens,
                    max_frames: max_frames(tokens, rules.frame_rate),
                }
            }
        }
    }

    /// Returns the maximum frames of the whole speech; `None` if the text is cut on demand.
    #[must_use]
    pub fn max_frames(&self) -> Option<usize> {
        let segments = self.inner.segments.as_ref()?;
        Some(segments.iter().map(|segment| segment.max_frames).sum())
    }

    /// Checks that the text was prepared for the model with this tokenizer.
    pub(crate) fn check(&self, tokenizer: &Arc<Tokenizer>) -> Result<()> {
        match Arc::ptr_eq(&self.inner.tokenizer, tokenizer) {
            true => Ok(()),
            false => Err(TextError::OtherModel),
        }
    }
}

impl SegmentRules {
    /// Returns the maximum tokens of a normalized segment.
    fn largest_tokens(&self) -> usize {
        self.max_tokens.get().saturating_add(EXTRA_TOKENS)
    }
}

impl Inner {
    /// Logs, once for the text, that stretches were cut; their number is known if all of it was cut.
    fn warn_once(&self, stretches: Option<usize>, first: &str) {
        if self.has_warned.swap(true, Ordering::Relaxed) {
            return;
        }
        let max_tokens = self.rules.max_tokens;
        match stretches {
            Some(stretches) => tracing::warn!(
                stretches,
                max_tokens,
                "stretches of text without punctuation are too long for one segment and are cut at \
                 spaces or within words; the first begins with {first:?}"
            ),
            None => tracing::warn!(
                max_tokens,
                "a stretch of text without punctuation is too long for one segment and is cut at \
                 spaces or within words; later ones are not reported; it begins with {first:?}"
            ),
        }
    }

    fn segment(&self, segment: SegmentText) -> Result<Segment> {
        let rules = &self.rules;
        let mut normalized = normalize(&segment.text, self.text.options())?;
        let mut tokens = match normalized.text == segment.text {
            true => segment.tokens,
            false => {
                let tokens = self.tokenizer.encode(&normalized.text)?;
                match tokens.len() <= rules.largest_tokens() {
                    true => tokens,
                    false => {
                        normalized.text = segment.text;
                        segment.tokens
                    }
                }
            }
        };
        // A single character can have more, with unusual rules of a tokenizer.
        tokens.truncate(rules.largest_tokens());
        Ok(Segment {
            max_frames: max_frames(tokens.len(), rules.frame_rate),
            frames_after_eos: rules
                .frames_after_eos
                .unwrap_or(normalized.frames_after_eos_guess + EXTRA_FRAMES_AFTER_EOS),
            unspeakable: match &*segment.unknown {
                "" => self.tokenizer.unspeakable(&normalized.text, &tokens)?,
                unknown => distinct(unknown),
            },
            in_cut_stretch: segment.in_cut_stretch,
            tokens,
        })
    }
}

impl fmt::Debug for PreparedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedText")
            .field("bytes", &self.inner.text.len())
            .field("segments", &self.segment_count())
            .finish_non_exhaustive()
    }
}

/// The segments of a [`PreparedText`]. After an error the iterator ends.
#[derive(Debug)]
pub struct Segments {
    text: PreparedText,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Stored { next: usize },
    OnDemand(Box<OnDemand>),
}

/// Cuts the segments of a text one by one.
#[derive(Debug)]
struct OnDemand {
    texts: SegmentTexts,
    has_yielded: bool,
    has_ended: bool,
}

impl OnDemand {
    fn new(inner: &Inner) -> Result<Self> {
        let max_tokens = inner.rules.max_tokens;
        Ok(Self {
            texts: SegmentTexts::new(inner.tokenizer.clone(), inner.text.clone(), max_tokens)?,
            has_yielded: false,
            has_ended: false,
        })
    }

    /// Returns the next segment. A segment that only has characters that normalization deletes is skipped.
    fn next(&mut self, inner: &Inner) -> Option<Result<Segment>> {
        while !self.has_ended {
            let Some(text) = self.texts.next() else {
                break;
            };
            match text.and_then(|text| inner.segment(text)) {
                Ok(segment) => {
                    self.has_yielded = true;
                    return Some(Ok(segment));
                }
                Err(TextError::Empty) => {}
                Err(error) => {
                    self.has_ended = true;
                    return Some(Err(error));
                }
            }
        }
        let is_empty = !std::mem::replace(&mut self.has_ended, true) && !self.has_yielded;
        is_empty.then_some(Err(TextError::Empty))
    }
}

impl Iterator for Segments {
    type Item = Result<Segment>;

    fn next(&mut self) -> Option<Self::Item> {
        let inner = &self.text.inner;
        match &mut self.source {
            Source::Stored { next } => {
                let segment = inner.segments.as_ref()?.get(*next)?;
                *next += 1;
                Some(Ok(segment.clone()))
            }
            Source::OnDemand(cutter) => {
                let segment = cutter.next(inner)?;
                if matches!(&segment, Ok(segment) if segment.in_cut_stretch) {
                    inner.warn_once(None, &cutter.texts.cut_stretches().first);
                }
                Some(segment)
            }
        }
    }
}

crate::traced::trace_fields!(PreparedText: inner);
crate::traced::trace_fields!(Inner: text, tokenizer);

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use super::*;
    use crate::text::tests::tokenizer;

    fn prepare(file: &str, text: &str) -> PreparedText {
        let rules = SegmentRules {
            max_tokens: NonZeroUsize::new(50).unwrap(),
            frame_rate: 12.5,
            frames_after_eos: None,
        };
        prepare_with(file, text, rules)
    }

    fn prepare_with(file: &str, text: &str, rules: SegmentRules) -> PreparedText {
        let options = TextOptions::default();
        PreparedText::new(&tokenizer(file), text.to_owned(), &options, rules).unwrap()
    }

    fn unspeakable(file: &str, text: &str) -> String {
        let segments = prepare(file, text).segments().unwrap();
        segments
            .flat_map(|segment| segment.unwrap().unspeakable)
            .collect()
    }

    #[test]
    fn characters_without_pieces_are_unspeakable() {
        let files = [
            // Falls back to bytes.
            "parity/tokenizer.model",
            "parity/tokenizer.json",
            // Falls back to the unknown piece.
            "text/no_byte_fallback.model",
        ];
        for file in files {
            assert_eq!(unspeakable(file, "All of this is known."), "", "{file}");
            let found = unspeakable(file, "One cat, \u{732b}, and a\tdog: \u{72ac}, \u{732b}.");
            assert_eq!(found, "\u{732b}\u{72ac}", "{file}");
        }
    }

    #[test]
    fn each_segment_reports_its_own_unspeakable_characters() {
        // Runs of unknown characters across words, cuts at clauses, and segments of several sentences.
        let text = "\u{732b}\u{72ac} \u{732b} one, two \u{9ce5} three, four. Five. \u{9b5a}. \
                    Six seven eight, nine \u{72ac}.";
        for file in ["parity/tokenizer.model", "text/no_byte_fallback.model"] {
            let mut rules = prepare(file, text).inner.rules.clone();
            rules.max_tokens = NonZeroUsize::new(16).unwrap();
            let cut = prepare_with(file, text, rules);
            let found: Vec<String> = cut
                .segments()
                .unwrap()
                .map(|segment| segment.unwrap().unspeakable.iter().collect())
                .filter(|unspeakable: &String| !unspeakable.is_empty())
                .collect();
            let expected = ["\u{732b}\u{72ac}", "\u{9ce5}", "\u{9b5a}", "\u{72ac}"];
            assert_eq!(found, expected, "{file}");
        }
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Returns what is logged while `run` runs.
    fn logged(run: impl FnOnce()) -> String {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, run);
        let bytes = log.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn stretches_without_punctuation_are_cut_with_one_warning() {
        let long = "hello ".repeat(100);
        let text = format!("One. {long}. Two. {long}.");
        let log = logged(|| {
            let prepared = prepare("parity/tokenizer.model", &text);
            let stretches = prepared.cut_stretches().unwrap();
            assert_eq!(stretches.count, 2);
            assert!(stretches.first.starts_with("hello hello"));
            let segments = prepared.segments().unwrap().map(Result::unwrap);
            let in_stretch: Vec<bool> = segments.map(|segment| segment.in_cut_stretch).collect();
            assert!(!in_stretch[0] && in_stretch[1] && in_stretch.ends_with(&[true, true]));
            assert_eq!(in_stretch.iter().filter(|&&is_piece| !is_piece).count(), 2);
        });
        assert_eq!(log.matches("WARN").count(), 1, "{log}");
        assert!(
            log.contains("hello hello") && log.contains("stretches=2"),
            "{log}"
        );

        let log = logged(|| {
            let prepared = prepare("parity/tokenizer.model", &text.repeat(60));
            assert_eq!(prepared.cut_stretches(), None);
            for _ in 0..2 {
                assert!(
                    prepared
                        .segments()
                        .unwrap()
                        .any(|segment| segment.unwrap().in_cut_stretch)
                );
            }
            prepared.cut().unwrap();
        });
        assert_eq!(log.matches("WARN").count(), 1, "{log}");
        assert_eq!(
            logged(|| drop(prepare("parity/tokenizer.model", "One. Two."))),
            ""
        );
    }

    #[test]
    fn estimates_frames_after_the_end_of_speech_from_the_text() {
        let frames = |text: &str| {
            let text = prepare("parity/tokenizer.model", text);
            let segment = text.segments().unwrap().next().unwrap().unwrap();
            segment.frames_after_eos
        };
        assert_eq!(frames("One two."), 5);
        assert_eq!(frames("One two three four five six."), 3);
    }

    #[test]
    fn bounds_of_a_long_text_do_not_overflow() {
        let text = "a. ".repeat(CUT_AT_ONCE_BYTES);
        let mut prepared = prepare("parity/tokenizer.model", &text);
        Arc::get_mut(&mut prepared.inner).unwrap().rules.max_tokens = NonZeroUsize::MAX;
        assert_eq!(prepared.largest_segment().positions(), usize::MAX);
    }
}
