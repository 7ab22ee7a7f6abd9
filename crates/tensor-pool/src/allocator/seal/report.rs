//! The report of a seal.

use std::fmt;

use bytesize::ByteSize;

/// A large request that the pool did not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unserved {
    /// Size of the request.
    pub size_bytes: u64,
    /// The innermost [`Scope`](crate::Scope) that was open on the requesting thread.
    pub scope: Option<&'static str>,
}

/// The large requests of one scope that the pool did not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnservedScope {
    /// The innermost [`Scope`](crate::Scope) that was open on the requesting thread.
    pub scope: Option<&'static str>,
    /// Number of requests.
    pub count: u64,
    /// Sum of their sizes.
    pub bytes: u64,
}

/// The requests recorded by a [`Seal`](crate::Seal).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealReport {
    /// Number of large requests that the pool did not serve.
    pub count: u64,
    /// Sum of their sizes.
    pub bytes: u64,
    /// Their sums by scope, in the order of the first request. The requests of further scopes after
    /// the first 32 are not summed here.
    pub scopes: Vec<UnservedScope>,
    /// The first 64 of them, in order. The order across threads is approximate.
    pub first: Vec<Unserved>,
}

impl SealReport {
    /// Whether the pool served every large request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the report without the requests of the named scopes. Use it for call sites that may
    /// allocate in a steady state, such as a cache that is filled on demand. A request belongs to
    /// the innermost scope that was open on its thread. The requests of a scope that is not in
    /// [`scopes`](Self::scopes) stay in the report.
    ///
    /// ```standalone_crate
    /// use tensor_pool::{PoolAllocator, Scope, seal};
    ///
    /// #[global_allocator]
    /// static ALLOCATOR: PoolAllocator = PoolAllocator::new();
    ///
    /// assert!(ALLOCATOR.install());
    /// let sealed = seal();
    /// let cached = {
    ///     let _scope = Scope::new("fill cache");
    ///     vec![1_u8; 200_000]
    /// };
    /// let report = sealed.report().unwrap();
    /// assert_eq!(report.count, 1);
    /// assert!(report.without(&["fill cache"]).is_empty());
    /// # drop(cached);
    /// ```
    #[must_use]
    pub fn without(&self, scopes: &[&str]) -> Self {
        let is_exempt = |scope: Option<&str>| scope.is_some_and(|scope| scopes.contains(&scope));
        let mut rest = self.clone();
        for exempt in self.scopes.iter().filter(|sum| is_exempt(sum.scope)) {
            rest.count = rest.count.saturating_sub(exempt.count);
            rest.bytes = rest.bytes.saturating_sub(exempt.bytes);
        }
        rest.scopes.retain(|sum| !is_exempt(sum.scope));
        rest.first.retain(|request| !is_exempt(request.scope));
        rest
    }
}

/// Formats the report as one line, for assertion messages.
impl fmt::Display for SealReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("the pool served every large request");
        }
        write!(
            f,
            "{} large requests ({}) were not served by the pool:",
            self.count,
            ByteSize::b(self.bytes)
        )?;
        for (index, Unserved { size_bytes, scope }) in self.first.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma} {}", ByteSize::b(*size_bytes))?;
            if let Some(scope) = scope {
                write!(f, " in {scope}")?;
            }
        }
        if self.count > self.first.len() as u64 {
            f.write_str(", …")?;
        }
        Ok(())
    }
}
