use crate::{FitError, Infeasible, MeasuredRange, ScheduleError};
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

    /// The samples cannot be fitted.
    #[error(transparent)]
    Fit(#[from] FitError),

    /// The id of a stream is in use, or no stream has it.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

impl Error {
    pub(crate) fn overflow(what: impl Into<String>) -> Self {
        Self::Overflow { what: what.into() }
    }
}
