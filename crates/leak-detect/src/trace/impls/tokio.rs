//! `Trace` for the types of `tokio::sync`.

use tokio::sync::{
    Barrier, Mutex, Notify, OnceCell, RwLock, Semaphore, SetOnce, broadcast, mpsc, oneshot, watch,
};

use super::{Trace, Tracer};

impl<T: Trace + ?Sized> Trace for Mutex<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        match self.try_lock() {
            Ok(guard) => tracer.guarded(guard),
            Err(_) => tracer.unknown(),
        }
    }
}

impl<T: Trace + ?Sized> Trace for RwLock<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        match self.try_read() {
            Ok(guard) => tracer.guarded(guard),
            Err(_) => tracer.unknown(),
        }
    }
}

impl<T: Trace> Trace for OnceCell<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        if let Some(value) = self.get() {
            value.trace(tracer);
        }
    }
}

impl<T: Trace> Trace for SetOnce<T> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        if let Some(value) = self.get() {
            value.trace(tracer);
        }
    }
}

own_nothing! { Barrier Notify Semaphore }

// The value of a `watch` channel could be read, but only by blocking on its lock.
opaque! {
    broadcast::Sender broadcast::Receiver mpsc::Sender mpsc::Receiver mpsc::UnboundedSender
    mpsc::UnboundedReceiver oneshot::Sender oneshot::Receiver watch::Sender watch::Receiver
}
