//! A number of bytes, so that a unit is never guessed from a name.


/// An amount of memory.
///
/// Sums saturate: an amount too large to count is as good as endless, and too much to subtract
/// leaves nothing.
///
/// ```
/// use tensor_pool::Bytes;
///
/// let limit = Bytes::mib(64);
/// assert_eq!(limit.get(), 67_108_864);
/// assert_eq!((limit + Bytes::kib(512)).to_string(), "64.5 MiB");
/// assert_eq!(Bytes(10) - Bytes(11), Bytes(0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(
    /// How many.
    pub u64,
);

impl Bytes {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// No limit.
    pub const MAX: Self = Self(u64::MAX);

    /// `n` times 1024 bytes.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 10))
    }

    /// `n` times 1,048,576 bytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 20))
    }

    /// The size of `value_count` values of type `T`.
    #[must_use]
    pub const fn of<T>(value_count: usize) -> Self {
        Self((value_count as u64).saturating_mul(size_of::<T>() as u64))
    }

    pub const fn saturating_add(self, other: Self) -> Self { Self(self.0.saturating_add(other.0)) }
    pub const fn saturating_sub(self, other: Self) -> Self { Self(self.0.saturating_sub(other.0)) }
    pub const fn saturating_mul(self, n: u64) -> Self { Self(self.0.saturating_mul(n)) }
    /// How many.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

