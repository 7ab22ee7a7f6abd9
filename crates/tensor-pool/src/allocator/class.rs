//! Which blocks are pooled, and in which sizes.

use std::alloc::Layout;

/// The smallest pooled request. Below it the system's allocator serves from its own free lists
/// without asking the kernel; from here on (glibc: `M_MMAP_THRESHOLD` = 128 KiB, `M_TRIM_THRESHOLD`
/// likewise) a freed block goes back to the kernel and the next one comes with new page faults.
pub(super) const SMALLEST: usize = 64 << 10;

/// The largest pooled request: glibc's `DEFAULT_MMAP_THRESHOLD_MAX` on 64-bit machines. Above it
/// blocks are mapped one by one and grown with `mremap`, which moves pages instead of bytes.
const LARGEST: usize = 32 << 20;

/// Classes in each doubling of the size. A request just over a class takes the next one, an eighth
/// of a power of two larger: padding is below 1/8 of the request.
const PER_DOUBLING: usize = 8;

/// Doublings from [`SMALLEST`] to [`LARGEST`].
const DOUBLINGS: usize = (LARGEST / SMALLEST).trailing_zeros() as usize;

/// A class of pooled sizes: a request is served with the smallest class that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u8);

impl Class {
    /// One per step, and one for [`SMALLEST`] itself.
    pub(super) const COUNT: usize = DOUBLINGS * PER_DOUBLING + 1;

    /// The class of a request of `size` bytes, where that is pooled.
    #[inline]
    pub(super) const fn of(size: usize) -> Option<Self> {
        if size < SMALLEST || size > LARGEST {
            return None;
        }
        // The leading bit of the last byte's offset names the doubling, the next three the step.
        let last = size - 1;
        let doubling = last.ilog2() as usize;
        let step = (last >> (doubling - PER_DOUBLING.ilog2() as usize)) & (PER_DOUBLING - 1);
        // SMALLEST - 1 lies in the last step of the doubling before the first one: class 0.
        let before_first = SMALLEST.ilog2() as usize * PER_DOUBLING - 1;
        Some(Self((doubling * PER_DOUBLING + step - before_first) as u8))
    }

    /// The bytes of a block of this class.
    #[inline]
    pub(super) const fn size(self) -> usize {
        // Counted from the beginning of the doubling that ends at SMALLEST.
        let step = self.0 as usize + PER_DOUBLING - 1;
        (PER_DOUBLING + 1 + step % PER_DOUBLING)
            << (SMALLEST.ilog2() as usize - PER_DOUBLING.ilog2() as usize - 1 + step / PER_DOUBLING)
    }

    /// How many idle blocks of this class are kept at most: 32 MiB of them (half of the default
    /// capacity, so that one size alone can use it well), but at least 16 (a deep network's layers
    /// of the largest sizes) and at most 128 (past which a scan over the slots would show), rounded
    /// up to whole cache lines of eight pointers.
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

    /// 0 for the smallest class.
    #[inline]
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// The class at an index below [`Class::COUNT`].
    pub(super) const fn at(index: usize) -> Self {
        Self(index as u8)
    }

    /// Every class, smallest first.
    pub(super) fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..Self::COUNT).map(Self::at)
    }
}

/// The alignment a pooled block has: a power of two from 16 (every block's, malloc's own on 64-bit
/// machines, so asking for it costs nothing) to 512 KiB. Kept with each idle block, because a block
/// must go back to the allocator below with the alignment it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alignment(u8);

impl Alignment {
    /// The least alignment asked of the allocator below for a large block.
    pub(super) const LEAST: usize = 16;

    /// The bits of a block's address that are zero whatever its alignment, where an idle block's
    /// alignment is kept.
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

    /// The alignment kept in the low bits of an address.
    #[inline]
    pub(super) const fn from_tag(tag: usize) -> Self {
        Self((tag & Self::MASK) as u8)
    }

    /// The low bits that stand for this alignment.
    #[inline]
    pub(super) const fn tag(self) -> usize {
        self.0 as usize
    }

    #[inline]
    pub(super) const fn get(self) -> usize {
        Self::LEAST << self.0
    }
}

/// Where a large request is served from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) class: Class,
    pub(super) alignment: Alignment,
}

impl Place {
    /// The place of a pooled request; `None` for one that passes through.
    #[inline]
    pub(super) const fn of(layout: Layout) -> Option<Self> {
        match (Class::of(layout.size()), Alignment::of(layout.align())) {
            (Some(class), Some(alignment)) => Some(Self { class, alignment }),
            _ => None,
        }
    }

    /// What is asked of the allocator below for a block of this place.
    #[inline]
    pub(super) const fn layout(self) -> Layout {
        match Layout::from_size_align(self.class.size(), self.alignment.get()) {
            Ok(layout) => layout,
            // At most 32 MiB at an alignment of at most 512 KiB, both far from overflow.
            Err(_) => unreachable!(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_go_from_64_kib_to_32_mib_and_each_holds_exactly_its_requests() {
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
    fn alignment_survives_the_low_bits_of_an_address() {
        for shift in 0..30 {
            let align = 1 << shift;
            match Alignment::of(align) {
                Some(kept) => {
                    assert_eq!(kept.get(), align.max(16));
                    assert_eq!(Alignment::from_tag(0x7f00_0000 | kept.tag()), kept);
                }
                None => assert!(align > 512 << 10),
            }
        }
    }
}
