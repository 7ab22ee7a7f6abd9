//! `Trace` for the standard library's types.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::marker::PhantomData;
use std::mem::{size_of, size_of_val};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{
    NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroI128, NonZeroIsize, NonZeroU8,
    NonZeroU16, NonZeroU32, NonZeroU64, NonZeroU128, NonZeroUsize,
};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicU8,
    AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
};
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::sync::{
    Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, TryLockError, Weak,
};
use std::thread::{JoinHandle, Thread, ThreadId};
use std::time::{Duration, Instant, SystemTime};

use super::{Trace, Tracer};

/// Types that own no `Arc`.
macro_rules! own_nothing {
    ($($ty:ty)*) => {
        $(impl $crate::Trace for $ty {
            #[inline]
            fn trace<'a>(&'a self, _: &mut $crate::Tracer<'a>) {}
        })*
    };
}

/// Types that own no `T`, or whose `T` cannot be traced. An `Arc` in them counts as an external owner.
macro_rules! opaque {
    ($($($ty:ident)::+)*) => {
        $(impl<T> $crate::Trace for $($ty)::+<T> {
            #[inline]
            fn trace<'a>(&'a self, _: &mut $crate::Tracer<'a>) {}
        })*
    };
}

#[cfg(feature = "dashmap")]
mod dashmap;
#[cfg(feature = "parking_lot")]
mod parking_lot;
#[cfg(feature = "tokio")]
mod tokio;

own_nothing! {
    () bool char str f32 f64 i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize
    NonZeroI8 NonZeroI16 NonZeroI32 NonZeroI64 NonZeroI128 NonZeroIsize
    NonZeroU8 NonZeroU16 NonZeroU32 NonZeroU64 NonZeroU128 NonZeroUsize
    AtomicBool AtomicI8 AtomicI16 AtomicI32 AtomicI64 AtomicIsize
    AtomicU8 AtomicU16 AtomicU32 AtomicU64 AtomicUsize
    Duration Instant SystemTime OsStr Path IpAddr Ipv4Addr Ipv6Addr SocketAddr
    Barrier Condvar Once Thread ThreadId File
}

opaque! { PhantomData Cell JoinHandle Sender SyncSender Receiver AtomicPtr NonNull }

impl<T: ?Sized> Trace for Weak<T> {
    #[inline]
    fn trace<'a>(&'a self, _: &mut Tracer<'a>) {}
}

impl<T: ?Sized> Trace for &T {
    #[inline]
    fn trace<'a>(&'a self, _: &mut Tracer<'a>) {}
}

impl<T: Trace + Send + Sync + ?Sized + 'static> Trace for Arc<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        tracer.owns(self);
    }
}

impl<T: Trace + ?Sized> Trace for Box<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        tracer.heap_bytes(size_of_val::<T>(self));
        tracer.nested(|tracer| (**self).trace(tracer));
    }
}

/// Types with a byte buffer of known capacity.
macro_rules! buffers {
    ($($ty:ty),*) => {
        $(impl Trace for $ty {
            fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
                tracer.heap_bytes(self.capacity());
            }
        })*
    };
}

buffers!(String, OsString, PathBuf);

fn each<'a, T: Trace + 'a>(items: impl IntoIterator<Item = &'a T> + 'a, tracer: &mut Tracer<'a>) {
    tracer.nested(|tracer| {
        for item in items {
            item.trace(tracer);
        }
    });
}

impl<T: Trace> Trace for [T] {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        each(self, tracer);
    }
}

impl<T: Trace, const N: usize> Trace for [T; N] {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        each(self, tracer);
    }
}

/// Collections of one element type, with the method that gives their number of elements on the heap.
macro_rules! collections {
    ($($ty:ident<T $(, $hasher:ident)?> => $count:ident),*) => {
        $(impl<T: Trace $(, $hasher)?> Trace for $ty<T $(, $hasher)?> {
            fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
                tracer.heap_bytes(self.$count().saturating_mul(size_of::<T>()));
                each(self.iter(), tracer);
            }
        })*
    };
}

collections!(
    Vec<T> => capacity, VecDeque<T> => capacity, BinaryHeap<T> => capacity,
    HashSet<T, S> => capacity, LinkedList<T> => len, BTreeSet<T> => len
);

impl<K: Trace, V: Trace, S> Trace for HashMap<K, V, S> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        tracer.heap_bytes(self.capacity().saturating_mul(size_of::<(K, V)>()));
        each(self.keys(), tracer);
        each(self.values(), tracer);
    }
}

impl<K: Trace, V: Trace> Trace for BTreeMap<K, V> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        tracer.heap_bytes(self.len().saturating_mul(size_of::<(K, V)>()));
        each(self.keys(), tracer);
        each(self.values(), tracer);
    }
}

impl<T: Trace> Trace for Option<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        if let Some(value) = self {
            value.trace(tracer);
        }
    }
}

impl<T: Trace, E: Trace> Trace for Result<T, E> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        match self {
            Ok(value) => value.trace(tracer),
            Err(error) => error.trace(tracer),
        }
    }
}

impl<B: ToOwned<Owned: Trace> + ?Sized> Trace for Cow<'_, B> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        if let Cow::Owned(owned) = self {
            owned.trace(tracer);
        }
    }
}

/// Cells that are set once. If they are set during a detection, they only add owners unknown to it.
macro_rules! filled_once {
    ($($ty:ident),*) => {
        $(impl<T: Trace> Trace for $ty<T> {
            fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
                if let Some(value) = self.get() {
                    value.trace(tracer);
                }
            }
        })*
    };
}

filled_once!(OnceCell, OnceLock);

impl<T: Trace, F> Trace for LazyLock<T, F> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        // A pending closure may own `Arc`s, which count as external owners.
        if let Some(value) = LazyLock::get(self) {
            value.trace(tracer);
        }
    }
}

impl<T: Trace + ?Sized> Trace for RefCell<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        match self.try_borrow() {
            Ok(guard) => tracer.guarded(guard),
            Err(_) => tracer.unknown(),
        }
    }
}

impl<T: Trace + ?Sized> Trace for Mutex<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        match self.try_lock() {
            Ok(guard) => tracer.guarded(guard),
            // The value of a poisoned lock still owns its `Arc`s.
            Err(TryLockError::Poisoned(poisoned)) => tracer.guarded(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => tracer.unknown(),
        }
    }
}

impl<T: Trace + ?Sized> Trace for RwLock<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        match self.try_read() {
            Ok(guard) => tracer.guarded(guard),
            Err(TryLockError::Poisoned(poisoned)) => tracer.guarded(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => tracer.unknown(),
        }
    }
}

/// Function pointers have no captures.
macro_rules! functions {
    ($($argument:ident)*) => {
        impl<R, $($argument),*> Trace for fn($($argument),*) -> R {
            #[inline]
            fn trace<'a>(&'a self, _: &mut Tracer<'a>) {}
        }
    };
}

functions!();
functions!(A);
functions!(A B);
functions!(A B C);
functions!(A B C D);

impl<T: Trace> Trace for Range<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        self.start.trace(tracer);
        self.end.trace(tracer);
    }
}

impl<T: Trace> Trace for RangeInclusive<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        self.start().trace(tracer);
        self.end().trace(tracer);
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name: Trace),+> Trace for ($($name,)+) {
            #[allow(non_snake_case)]
            fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
                let ($($name,)+) = self;
                $($name.trace(tracer);)+
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
