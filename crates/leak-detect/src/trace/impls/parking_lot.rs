//! `Trace` for the types of `parking_lot`, and of `lock_api` in general.

use parking_lot::lock_api::{self, GetThreadId, RawMutex, RawRwLock};

use super::{Trace, Tracer};

impl<R: RawMutex, T: Trace + ?Sized> Trace for lock_api::Mutex<R, T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        match self.try_lock() {
            Some(guard) => tracer.guarded(guard),
            None => tracer.unknown(),
        }
    }
}

impl<R: RawRwLock, T: Trace + ?Sized> Trace for lock_api::RwLock<R, T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        match self.try_read() {
            Some(guard) => tracer.guarded(guard),
            None => tracer.unknown(),
        }
    }
}

impl<R: RawMutex, G: GetThreadId, T: Trace + ?Sized> Trace for lock_api::ReentrantMutex<R, G, T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        match self.try_lock() {
            Some(guard) => tracer.guarded(guard),
            None => tracer.unknown(),
        }
    }
}

own_nothing! { parking_lot::Condvar parking_lot::Once }
