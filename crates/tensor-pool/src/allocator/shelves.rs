//! The shelves of all classes, and the limit on retained bytes.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicPtr, AtomicU64};

use super::class::{Alignment, Class, Place};
use super::shelf::{Level, Shelf};

/// The index of the first slot of each class, followed by the total number of slots.
const OFFSETS: [usize; Class::COUNT + 1] = {
    let mut offsets = [0; Class::COUNT + 1];
    let mut index = 0;
    while index < Class::COUNT {
        offsets[index + 1] = offsets[index] + Class::at(index).slots();
        index += 1;
    }
    offsets
};

const SLOTS: usize = OFFSETS[Class::COUNT];

/// An idle block with its place.
pub(super) struct Idle {
    pub(super) block: NonNull<u8>,
    pub(super) place: Place,
}

/// Idle blocks by class.
#[repr(align(64))]
pub(super) struct Shelves {
    /// Addresses of blocks, with the alignment tag in the low bits.
    slots: [AtomicPtr<u8>; SLOTS],
    levels: [Level; Class::COUNT],
    /// Bytes on the shelves, including blocks of unfinished `put` calls. An addition never exceeds
    /// the capacity at the time of the addition.
    retained: AtomicU64,
    capacity: AtomicU64,
}

impl Shelves {
    pub(super) const fn new(capacity: u64) -> Self {
        Self {
            slots: [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS],
            levels: [const { Level::new() }; Class::COUNT],
            retained: AtomicU64::new(0),
            capacity: AtomicU64::new(capacity),
        }
    }

    pub(super) fn retained(&self) -> u64 {
        self.retained.load(SeqCst)
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity.load(SeqCst)
    }

    pub(super) fn set_capacity(&self, capacity: u64) {
        self.capacity.store(capacity, SeqCst);
    }

    /// Takes an idle block of this class and alignment.
    #[inline]
    pub(super) fn take(&self, place: Place) -> Option<NonNull<u8>> {
        let tagged = self
            .shelf(place.class)
            .take(|block| Alignment::from_tag(block.addr()) == place.alignment)?;
        self.retained.fetch_sub(place.class.size() as u64, SeqCst);
        Some(untagged(tagged))
    }

    /// Retains a block. Returns `false` if the capacity or the number of slots does not permit it.
    ///
    /// If another thread lowers the capacity meanwhile, either that thread finds this block or the
    /// caller sees [`Shelves::is_over`], because both sides write before they read.
    #[inline]
    pub(super) fn put(&self, idle: Idle) -> bool {
        let Idle { block, place } = idle;
        let size = place.class.size() as u64;
        let capacity = self.capacity();
        let reserved = self.retained.fetch_update(SeqCst, SeqCst, |retained| {
            retained
                .checked_add(size)
                .filter(|&retained| retained <= capacity)
        });
        if reserved.is_err() {
            return false;
        }
        let tag = place.alignment.tag();
        // `addr | tag` is not 0, because the address is not 0.
        let tagged = block.map_addr(|address| address | tag);
        let placed = self.shelf(place.class).put(tagged);
        if !placed {
            self.retained.fetch_sub(size, SeqCst);
        }
        placed
    }

    /// Whether the retained bytes exceed the capacity.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.retained() > self.capacity()
    }

    /// Takes blocks, largest first, until at most `keep` bytes are retained. Releasing large blocks
    /// first needs the fewest calls.
    pub(super) fn take_excess(&self, keep: impl Fn() -> u64) -> impl Iterator<Item = Idle> {
        let mut classes = Class::all().rev();
        let mut class = classes.next();
        std::iter::from_fn(move || {
            while self.retained() > keep() {
                if let Some(idle) = self.take_any(class?) {
                    return Some(idle);
                }
                class = classes.next();
            }
            None
        })
    }

    /// Takes the blocks that their class did not need since the last call.
    pub(super) fn take_unused(&self) -> impl Iterator<Item = Idle> {
        Class::all().flat_map(move |class| {
            let unused = self.shelf(class).start_watch();
            (0..unused).map_while(move |_| self.take_any(class))
        })
    }

    /// Takes an idle block of this class with any alignment.
    fn take_any(&self, class: Class) -> Option<Idle> {
        let tagged = self.shelf(class).take(|_| true)?;
        self.retained.fetch_sub(class.size() as u64, SeqCst);
        let alignment = Alignment::from_tag(tagged.addr().get());
        Some(Idle {
            block: untagged(tagged),
            place: Place { class, alignment },
        })
    }

    fn shelf(&self, class: Class) -> Shelf<'_, u8> {
        let index = class.index();
        Shelf {
            slots: &self.slots[OFFSETS[index]..OFFSETS[index + 1]],
            level: &self.levels[index],
        }
    }
}

/// Returns the address without the alignment tag.
fn untagged(tagged: NonNull<u8>) -> NonNull<u8> {
    let address = tagged
        .as_ptr()
        .map_addr(|address| address & !Alignment::MASK);
    // Tags are added only to addresses of at least 16 (aligned and not null), so the result is not
    // null.
    NonNull::new(address).unwrap_or(tagged)
}
