use crate::{Infeasible, MeasuredRange, Sample, Share};
use bytesize::ByteSize;

/// The errors of this crate. Every message states the value found, the values allowed and what to
/// change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value does not fit 64 bits.
    #[error("{what} exceeds 2^64 - 1; use smaller numbers")]
    Overflow {
        /// The name of the value.
        what: String,
    },

    /// A share is below 0, at least 1, or NaN.
    #[error("the share {found} is invalid; it must be at least 0 and below 1")]
    InvalidShare {
        /// The invalid share.
        found: f64,
    },

    /// The batch is outside the measured range of a fitted model.
    #[error(
        "batch size {batch_size} at length {sequence_length} is outside the measured range ({range}); \
         add samples there and fit again"
    )]
    OutOfRange {
        /// The requested batch size.
        batch_size: u64,
        /// The requested length, in positions.
        sequence_length: u64,
        /// The range of the samples.
        range: MeasuredRange,
    },

    /// There are too few samples to check that memory is linear. The minimum is one more than the
    /// number of coefficients; with fewer samples every residual is 0.
    #[error(
        "a fit needs at least {needed} distinct samples, but there are {found}; measure more batch \
         sizes and lengths"
    )]
    TooFewSamples {
        /// The number of samples with distinct batch size or length.
        found: usize,
        /// The minimum number of such samples.
        needed: usize,
    },

    /// The samples do not determine the coefficients.
    #[error(
        "the samples do not determine the fixed, per-item and per-position memory: they have \
         {batch_sizes} batch sizes and {sequence_lengths} lengths; measure at least two batch \
         sizes at each of two lengths (in different pages if memory is paged)"
    )]
    DegenerateSamples {
        /// The number of distinct batch sizes.
        batch_sizes: usize,
        /// The number of distinct lengths.
        sequence_lengths: usize,
    },

    /// A sample has 0 bytes, so its residual cannot be stated as a share.
    #[error(
        "the sample with batch size {batch_size} and length {sequence_length} has 0 bytes; \
         a measurement must be above 0, so remove the sample"
    )]
    EmptySample {
        /// The sample's batch size.
        batch_size: u64,
        /// The sample's length, in positions.
        sequence_length: u64,
    },

    /// The residual of a sample is above the allowed share.
    #[error(
        "memory is not linear: the best fit is off by {:.1} % at batch size {}, length {} \
         (measured {}, fitted {}), but at most {allowed} is allowed; fit a smaller range, set the page \
         length, or raise `max_residual`",
        .worst * 100.0, .sample.batch_size, .sample.sequence_length, ByteSize::b(.sample.bytes),
        ByteSize::b(*.fitted_bytes)
    )]
    NotLinear {
        /// The greatest residual, as a share of the measured bytes. May be above 1.
        worst: f64,
        /// The greatest residual that is allowed.
        allowed: Share,
        /// The sample with that residual.
        sample: Sample,
        /// The fitted value of the sample, in bytes.
        fitted_bytes: u64,
    },

    /// No batch size of at least 1 lies between the floor and the ceiling.
    #[error(
        "a floor of {floor} with {} is invalid; the floor must be at least 1 and at most the \
         ceiling", .ceiling.map_or("no ceiling".to_owned(), |most| format!("a ceiling of {most}"))
    )]
    InvalidBounds {
        /// The smallest batch size that is accepted.
        floor: u64,
        /// The largest batch size that is accepted, if one was set.
        ceiling: Option<u64>,
    },

    /// Memory does not grow with the batch, so it does not limit the batch size.
    #[error(
        "the memory model does not grow with the batch at length {sequence_length}, so any batch \
         size fits; set a ceiling or add per-item memory to the model"
    )]
    Unbounded {
        /// The requested length, in positions.
        sequence_length: u64,
    },

    /// The smallest accepted batch does not fit.
    #[error("{0}")]
    Infeasible(Box<Infeasible>),

    /// A request does not fit in a batch of its own.
    #[error(
        "request {id} of length {length} does not fit in a batch of its own: it needs {}, but only \
         {} are usable ({} too few); raise the limit, or shorten or split the request",
        ByteSize::b(*.needed_bytes), ByteSize::b(*.usable_bytes), ByteSize::b(*.shortfall_bytes)
    )]
    RequestTooLarge {
        /// The request's id.
        id: u64,
        /// The request's length, in positions.
        length: u64,
        /// The memory of the request in a batch of its own, including fixed memory, in bytes.
        needed_bytes: u64,
        /// The limit minus the margin, in bytes.
        usable_bytes: u64,
        /// The bytes needed above the usable bytes.
        shortfall_bytes: u64,
    },

    /// A stream with this id is already running.
    #[error("a stream with the id {id} is already running; give each stream a unique id")]
    DuplicateStream {
        /// The id of the stream.
        id: u64,
    },

    /// No running stream has this id.
    #[error("no running stream has the id {id}; it was never started or has finished")]
    UnknownStream {
        /// The id of the stream.
        id: u64,
    },
}

impl Error {
    pub(crate) fn overflow(what: impl Into<String>) -> Self {
        Self::Overflow { what: what.into() }
    }
}
