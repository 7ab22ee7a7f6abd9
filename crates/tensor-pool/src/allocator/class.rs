//! Size classes and alignments of pooled blocks.

use std::alloc::Layout;

/// The smallest pooled request. Smaller blocks are recycled by the free lists of the system
/// allocator, without system calls. From about this size on (glibc: `M_MMAP_THRESHOLD` and
/// `M_TRIM_THRESHOLD` = 128 KiB), a freed block is returned to the kernel and the next allocation
/// causes new page faults.
pub(super) const SMALLEST: usize = 64 << 10;

/// The largest pooled request: 1 TiB, so that in practice the capacity is the only limit. A class
/// above the capacity has two costs: up to an eighth of untouched address space per block, and 192
/// bytes of slots and level.
const LARGEST: usize = if usize::BITS < 64 { 1 << 30 } else { 1 << 40 };

/// Number of classes per doubling of the size. A request that exceeds a class by one byte gets the
/// next class, so padding is below 1/8 of the request.
const PER_DOUBLING: usize = 8;

/// Number of doublings from [`SMALLEST`] to [`LARGEST`].
const DOUBLINGS: usize = (LARGEST / SMALLEST).trailing_zeros() as usize;

/// A size class. A request is served from the smallest class that fits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u8);

impl Class {
    /// One class per step, and one for [`SMALLEST`].
    pub(super) const COUNT: usize = DOUBLINGS * PER_DOUBLING + 1;

    /// Returns the class for a request of `size` bytes, or `None` if requests of that size are not
    /// pooled.
    #[inline]
    pub(super) const fn of(size: usize) -> Option<Self> {
        if size < SMALLEST || size > LARGEST {
            return None;
        }
        // The leading bit of the offset of the last byte selects the doubling, the next three bits
        // the step.
        let last = size - 1;
        let doubling = last.ilog2() as usize;
        let step = (last >> (doubling - PER_DOUBLING.ilog2() as usize)) & (PER_DOUBLING - 1);
        // SMALLEST - 1 is in the last step of the doubling below the first one: class 0.
        let before_first = SMALLEST.ilog2() as usize * PER_DOUBLING - 1;
        Some(Self((doubling * PER_DOUBLING + step - before_first) as u8))
    }

    /// Returns the size of a block of this class, in bytes.
    #[inline]
    pub(super) const fn size(self) -> usize {
        // Steps are counted from the start of the doubling that ends at SMALLEST.
        let step = self.0 as usize + PER_DOUBLING - 1;
        (PER_DOUBLING + 1 + step % PER_DOUBLING)
            << (SMALLEST.ilog2() as usize - PER_DOUBLING.ilog2() as usize - 1 + step / PER_DOUBLING)
    }

    /// Returns the maximum number of idle blocks of this class.
    ///
    /// The slots have room for 32 MiB (half of the default capacity, so that a program with a
    /// single size can use it well). The number is at least 16 (the layers of a deep network, at
    /// sizes from 2 MiB on) and at most 128 (a scan over more slots would be noticeable). It is rounded up to
    /// whole cache lines of eight pointers.
    pub(super) const fn slots(self) -> usize {
        let fitting = (32 << 20) / self.size();
        let wanted = if fitting < 16 {
            16
        } else if fitting > 128 {
            128
        } else {
            fitting
        };
        wanted.next_multiple_of(8)
    }

    /// Returns the index of this class; the smallest class is 0.
    #[inline]
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the class at `index`, which must be below [`Class::COUNT`].
    pub(super) const fn at(index: usize) -> Self {
        Self(index as u8)
    }

    /// Returns all classes, smallest first.
    pub(super) fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..Self::COUNT).map(Self::at)
    }
}

/// The alignment of a pooled block: a power of two from 16 to 512 KiB.
///
/// 16 is the alignment of every `malloc` block on 64-bit machines, so it has no extra cost. The
/// alignment is stored with each idle block, because a block must be freed with the alignment that
/// it was allocated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alignment(u8);

impl Alignment {
    /// The minimum alignment of large requests to the inner allocator.
    pub(super) const LEAST: usize = 16;

    /// The low address bits that are zero for every alignment. An idle block stores its alignment
    /// there.
    pub(super) const MASK: usize = Self::LEAST - 1;

    #[inline]
    pub(super) const fn of(align: usize) -> Option<Self> {
        let raised = if align < Self::LEAST {
            Self::LEAST
        } else {
            align
        };
        let steps = raised.ilog2() - Self::LEAST.ilog2();
        if steps as usize > Self::MASK {
            return None;
        }
        Some(Self(steps as u8))
    }

    /// Decodes the alignment from the low bits of an address.
    #[inline]
    pub(super) const fn from_tag(tag: usize) -> Self {
        Self((tag & Self::MASK) as u8)
    }

    /// Returns the low address bits that encode this alignment.
    #[inline]
    pub(super) const fn tag(self) -> usize {
        self.0 as usize
    }

    #[inline]
    pub(super) const fn get(self) -> usize {
        Self::LEAST << self.0
    }
}

/// The class and alignment from which a large request is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) class: Class,
    pub(super) alignment: Alignment,
}

impl Place {
    /// Returns the place of a pooled request, or `None` if the request passes through.
    #[inline]
    pub(super) const fn of(layout: Layout) -> Option<Self> {
        match (Class::of(layout.size()), Alignment::of(layout.align())) {
            (Some(class), Some(alignment)) => Some(Self { class, alignment }),
            _ => None,
        }
    }

    /// Returns the layout that is requested from the inner allocator for a block of this place.
    #[inline]
    pub(super) const fn layout(self) -> Layout {
        match Layout::from_size_align(self.class.size(), self.alignment.get()) {
            Ok(layout) => layout,
            // At most `LARGEST` with an alignment of at most 512 KiB: this cannot overflow.
            Err(_) => unreachable!(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_cover_64_kib_to_the_largest_without_gaps() {
        assert_eq!(Class::of(SMALLEST - 1), None);
        assert_eq!(Class::of(LARGEST + 1), None);
        assert_eq!(Class::of(SMALLEST), Some(Class::at(0)));
        assert_eq!(Class::of(LARGEST), Some(Class::at(Class::COUNT - 1)));
        assert_eq!(Class::at(0).size(), SMALLEST);
        let mut below = SMALLEST - 1;
        for class in Class::all() {
            assert_eq!(Class::of(below + 1), Some(class));
            assert_eq!(Class::of(class.size()), Some(class));
            assert!(class.size() - (below + 1) <= (below + 1) / 8);
            below = class.size();
        }
        assert_eq!(below, LARGEST);
    }

    #[test]
    fn alignment_round_trips_through_address_tag() {
        for shift in 0..30 {
            let align = 1 << shift;
            match Alignment::of(align) {
                Some(alignment) => {
                    assert_eq!(alignment.get(), align.max(16));
                    assert_eq!(
                        Alignment::from_tag(0x7f00_0000 | alignment.tag()),
                        alignment
                    );
                }
                None => assert!(align > 512 << 10),
            }
        }
    }
}
