//! `Trace` for the collections of `dashmap`.

use std::hash::{BuildHasher, Hash};
use std::mem::size_of;

use dashmap::{DashMap, DashSet};

use super::{Trace, Tracer};

/// The shards' type has no public name, hence a macro.
macro_rules! trace_shards {
    ($map:expr, $tracer:ident, $entry:ty) => {
        // Iteration over the map would block on a locked shard.
        for shard in $map.shards() {
            let Some(guard) = shard.try_read() else {
                $tracer.unknown();
                continue;
            };
            let table = $tracer.hold(guard);
            $tracer.heap_bytes(table.capacity().saturating_mul(size_of::<$entry>()));
            $tracer.nested(|tracer| {
                // SAFETY: the tracer holds the guard for `'a`, so the table exists and no entry is
                // added or removed while `'a` lasts.
                for entry in unsafe { table.iter() } {
                    // SAFETY: as above.
                    let (key, value) = unsafe { entry.as_ref() };
                    key.trace(tracer);
                    value.get().trace(tracer);
                }
            });
        }
    };
}

impl<K, V, S> Trace for DashMap<K, V, S>
where
    K: Trace + Eq + Hash,
    V: Trace,
    S: BuildHasher + Clone,
{
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        trace_shards!(self, tracer, (K, V));
    }
}

impl<K, S> Trace for DashSet<K, S>
where
    K: Trace + Eq + Hash,
    S: BuildHasher + Clone,
{
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        trace_shards!(self, tracer, K);
    }
}
