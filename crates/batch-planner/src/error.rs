use crate::{Infeasible, MeasuredRange, Sample, Share};
use bytesize::ByteSize;

/// What can be wrong with a question or its numbers. Every message says what was found, what is
/// allowed and the way out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number does not fit 64 bits.
    #[error("{what} is above 2^64 - 1, the most that is computed with; use smaller numbers")]
    Overflow {
        /// Which number.
        what: String,
    },

    /// A share is not at least 0 and below 1.
    #[error("a share of {found} is not allowed; it must be at least 0 and below 1")]
    InvalidShare {
        /// The share asked for.
        found: f64,
    },

    /// A fitted model was asked for what lies outside its samples.
    #[error(
        "batch size {batch_size} at length {sequence_length} lies outside of what was measured: \
         {range}; add samples there and fit again"
    )]
    OutOfRange {
        /// The batch size asked for.
        batch_size: u64,
        /// The length asked for, in steps.
        sequence_length: u64,
        /// What the samples cover.
        range: MeasuredRange,
    },

    /// There are too few samples to tell whether memory is linear.
    #[error(
        "{found} different samples are too few for a fit: {needed} are needed, one more than \
         there are coefficients, or no residual would ever show; measure more"
    )]
    TooFewSamples {
        /// How many samples differ in batch size or length.
        found: usize,
        /// How many must.
        needed: usize,
    },

    /// The samples cannot tell the coefficients apart.
    #[error(
        "the samples cannot tell what is fixed, what is per item and what is per step apart: they \
         have {batch_sizes} batch sizes and {sequence_lengths} lengths; measure at least two \
         batch sizes at each of two lengths (in different pages, where there are pages)"
    )]
    DegenerateSamples {
        /// How many different batch sizes there are.
        batch_sizes: usize,
        /// How many different lengths there are.
        sequence_lengths: usize,
    },

    /// A sample is of 0 bytes, of which no residual is a share.
    #[error(
        "a sample (batch size {batch_size}, length {sequence_length}) is of 0 bytes; a \
         measurement must be above 0: leave it out"
    )]
    EmptySample {
        /// The sample's batch size.
        batch_size: u64,
        /// The sample's length, in steps.
        sequence_length: u64,
    },

    /// A sample is too far off the best line.
    #[error(
        "memory is not linear: the best fit is off by {:.1} % at batch size {}, length {} \
         (measured {}, fitted {}), and {allowed} is allowed; fit a smaller range, state the page \
         length, or allow more",
        .worst * 100.0, .sample.batch_size, .sample.sequence_length, ByteSize::b(.sample.bytes),
        ByteSize::b(*.fitted_bytes)
    )]
    NotLinear {
        /// The greatest residual, as a share of what was measured there. May be above 1.
        worst: f64,
        /// What is allowed.
        allowed: Share,
        /// The sample with that residual.
        sample: Sample,
        /// What the fit says of it, in bytes.
        fitted_bytes: u64,
    },

    /// No batch size lies between the floor and the ceiling.
    #[error(
        "a floor of {floor} and {} leave no batch size; the floor must be at least 1 and at most \
         the ceiling", .ceiling.map_or("no ceiling".to_owned(), |most| format!("a ceiling of {most}"))
    )]
    InvalidBounds {
        /// The smallest batch size wanted.
        floor: u64,
        /// The largest batch size wanted, if one was set.
        ceiling: Option<u64>,
    },

    /// Memory does not grow with the batch, so it does not limit it.
    #[error(
        "at length {sequence_length} the memory model does not grow with the batch, so that any \
         batch size fits; set a ceiling, or add what an item takes to the model"
    )]
    Unbounded {
        /// The length asked for, in steps.
        sequence_length: u64,
    },

    /// Not even the smallest batch wanted fits.
    #[error("{0}")]
    Infeasible(Box<Infeasible>),

    /// A request does not even fit alone.
    #[error(
        "request {id} of length {length} does not fit even alone: it needs {}, {} more than the \
         {} there are; raise the limit, or shorten or split the request",
        ByteSize::b(*.needed_bytes), ByteSize::b(*.shortfall_bytes), ByteSize::b(*.usable_bytes)
    )]
    RequestTooLarge {
        /// The request's id.
        id: u64,
        /// The request's length, in steps.
        length: u64,
        /// What it takes alone, with what is fixed, in bytes.
        needed_bytes: u64,
        /// What the budget has, in bytes.
        usable_bytes: u64,
        /// How much more is needed, in bytes.
        shortfall_bytes: u64,
    },

    /// A stream of this id runs already.
    #[error("a stream with the id {id} runs already; give each stream an id of its own")]
    DuplicateStream {
        /// The id.
        id: u64,
    },

    /// No stream of this id runs.
    #[error("no stream with the id {id} runs; it was never started, or has finished")]
    UnknownStream {
        /// The id.
        id: u64,
    },
}

impl Error {
    pub(crate) fn overflow(what: impl Into<String>) -> Self {
        Self::Overflow { what: what.into() }
    }
}
