//! `Trace` for the types of other crates, behind features.
#![cfg(any(feature = "parking_lot", feature = "tokio", feature = "dashmap"))]

use std::sync::Arc;

use leak_detect::{CycleReport, ReferenceCycleDetector, Trace};

/// Returns the report on `owner`, and the number of `Arc`s to `leaf` found in it.
fn report_on<T: Trace + Send + Sync + 'static>(
    owner: &Arc<T>,
    leaf: &Arc<u8>,
) -> (CycleReport, usize) {
    let detector = ReferenceCycleDetector::new();
    detector.track_object(owner);
    let report = detector.report();
    let address = Arc::as_ptr(leaf).addr();
    let mut objects = report.objects().iter();
    let found = objects.find(|object| object.address == address);
    let found = found.map_or(0, |object| object.internal_owners);
    (report, found)
}

#[cfg(feature = "parking_lot")]
#[test]
fn parking_lot_locks_are_traced_unless_locked_elsewhere() {
    use parking_lot::{Condvar, FairMutex, Mutex, Once, ReentrantMutex, RwLock};
    #[derive(Trace)]
    struct Locks {
        mutex: Mutex<Arc<u8>>,
        fair: FairMutex<Arc<u8>>,
        reentrant: ReentrantMutex<Arc<u8>>,
        rw: RwLock<Arc<u8>>,
        condvar: Condvar,
        once: Once,
    }
    let leaf = Arc::new(0);
    let locks = Arc::new(Locks {
        mutex: Mutex::new(leaf.clone()),
        fair: FairMutex::new(leaf.clone()),
        reentrant: ReentrantMutex::new(leaf.clone()),
        rw: RwLock::new(leaf.clone()),
        condvar: Condvar::new(),
        once: Once::new(),
    });
    assert_eq!(report_on(&locks, &leaf).1, 4);
    let guards = (locks.mutex.lock(), locks.rw.write());
    let (report, found) = report_on(&locks, &leaf);
    assert_eq!((found, report.objects()[0].fully_traced), (2, false));
    drop(guards);
    assert!(locks.mutex.try_lock().is_some() && locks.rw.try_write().is_some());
}

#[cfg(feature = "tokio")]
#[test]
fn tokio_locks_are_traced_unless_locked_elsewhere() {
    use tokio::sync::{Mutex, Notify, OnceCell, RwLock, Semaphore, SetOnce, mpsc};
    #[derive(Trace)]
    struct Locks {
        mutex: Mutex<Arc<u8>>,
        rw: RwLock<Arc<u8>>,
        once: OnceCell<Arc<u8>>,
        set_once: SetOnce<Arc<u8>>,
        empty: OnceCell<Arc<u8>>,
        notify: Notify,
        semaphore: Semaphore,
        /// Its contents are not traced.
        channel: (
            mpsc::UnboundedSender<Arc<u8>>,
            std::sync::Mutex<mpsc::UnboundedReceiver<Arc<u8>>>,
        ),
    }
    let leaf = Arc::new(0);
    let (sender, receiver) = mpsc::unbounded_channel();
    sender.send(leaf.clone()).unwrap();
    let locks = Arc::new(Locks {
        mutex: Mutex::new(leaf.clone()),
        rw: RwLock::new(leaf.clone()),
        once: OnceCell::new_with(Some(leaf.clone())),
        set_once: SetOnce::new_with(Some(leaf.clone())),
        empty: OnceCell::new(),
        notify: Notify::new(),
        semaphore: Semaphore::new(1),
        channel: (sender, receiver.into()),
    });
    assert_eq!(report_on(&locks, &leaf).1, 4);
    let guards = (
        locks.mutex.try_lock().unwrap(),
        locks.rw.try_write().unwrap(),
    );
    let (report, found) = report_on(&locks, &leaf);
    assert_eq!((found, report.objects()[0].fully_traced), (2, false));
    drop(guards);
    assert!(locks.mutex.try_lock().is_ok() && locks.rw.try_write().is_ok());
}

#[cfg(feature = "dashmap")]
#[test]
fn dashmap_collections_are_traced_except_for_locked_shards() {
    use dashmap::{DashMap, DashSet};
    #[derive(Trace)]
    struct Maps {
        map: DashMap<u32, Arc<u8>>,
        set: DashSet<Arc<u8>>,
    }
    let leaf = Arc::new(0);
    let maps = Arc::new(Maps {
        map: (0..100).map(|i| (i, leaf.clone())).collect(),
        set: [leaf.clone()].into_iter().collect(),
    });
    let (report, found) = report_on(&maps, &leaf);
    assert_eq!((found, report.objects()[0].fully_traced), (101, true));
    assert!(report.objects()[0].bytes >= 100 * size_of::<(u32, Arc<u8>)>());

    let entry = maps.map.get_mut(&7).unwrap();
    let (report, found) = report_on(&maps, &leaf);
    assert!(found > 0 && found < 101, "{found}");
    assert!(!report.objects()[0].fully_traced);
    drop(entry);
    assert!(maps.map.try_get_mut(&7).is_present());
}
