//! Fields traced by `#[derive(Trace)]`, measured by the number of internal owners.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, RwLock, Weak, mpsc};

use leak_detect::{ReferenceCycleDetector, Trace};

/// Returns the number of `Arc`s to `leaf` found in `owner`.
fn count_in<T: Trace + Send + Sync + 'static>(owner: T, leaf: &Arc<u8>) -> usize {
    let detector = ReferenceCycleDetector::new();
    let owner = Arc::new(owner);
    detector.track_object(&owner);
    let report = detector.report();
    let address = Arc::as_ptr(leaf).addr();
    let object = report
        .objects()
        .iter()
        .find(|object| object.address == address);
    object.map_or(0, |object| object.internal_owners)
}

#[test]
fn fields_of_structs_and_enums_are_traced() {
    #[derive(Trace)]
    struct Named {
        one: Arc<u8>,
        r#type: Arc<u8>,
    }
    #[derive(Trace)]
    struct Tuple(Arc<u8>, u32, Arc<u8>);
    #[derive(Trace)]
    struct Unit;
    #[derive(Trace)]
    enum Shape {
        Named { arc: Arc<u8>, plain: bool },
        Tuple(Arc<u8>, Arc<u8>),
        Unit,
    }
    #[derive(Trace)]
    enum Never {}

    let leaf = Arc::new(0);
    let arc = || Arc::clone(&leaf);
    assert_eq!(
        count_in(
            Named {
                one: arc(),
                r#type: arc()
            },
            &leaf
        ),
        2
    );
    assert_eq!(count_in(Tuple(arc(), 1, arc()), &leaf), 2);
    assert_eq!(count_in(Unit, &leaf), 0);
    assert_eq!(
        count_in(
            Shape::Named {
                arc: arc(),
                plain: true
            },
            &leaf
        ),
        1
    );
    assert_eq!(count_in(Shape::Tuple(arc(), arc()), &leaf), 2);
    assert_eq!(count_in(Shape::Unit, &leaf), 0);
    assert_eq!(count_in(None::<Never>, &leaf), 0);
}

#[test]
fn standard_containers_are_traced() {
    // A box around an `Arc` is used only to test that it is traced.
    #[allow(clippy::redundant_allocation)]
    #[derive(Trace)]
    struct Containers {
        option: Option<Arc<u8>>,
        result: Result<Arc<u8>, String>,
        boxed: Box<Arc<u8>>,
        array: [Arc<u8>; 2],
        slice: Box<[Arc<u8>]>,
        vec: Vec<Arc<u8>>,
        deque: VecDeque<Arc<u8>>,
        list: LinkedList<Arc<u8>>,
        set: HashSet<Arc<u8>>,
        map: HashMap<Arc<u8>, Arc<u8>>,
        tree: BTreeMap<u8, (Arc<u8>, u8)>,
    }
    let leaf = Arc::new(7);
    let arc = || Arc::clone(&leaf);
    let containers = Containers {
        option: Some(arc()),
        result: Ok(arc()),
        boxed: Box::new(arc()),
        array: [arc(), arc()],
        slice: vec![arc()].into(),
        vec: vec![arc(), arc()],
        deque: [arc()].into(),
        list: [arc()].into(),
        set: [arc()].into(),
        map: [(arc(), arc())].into(),
        tree: [(1, (arc(), 2))].into(),
    };
    assert_eq!(count_in(containers, &leaf), 14);
}

#[test]
fn locks_and_cells_are_traced() {
    #[derive(Trace)]
    struct Cells {
        mutex: Mutex<Arc<u8>>,
        rw: RwLock<Arc<u8>>,
        once: OnceLock<Arc<u8>>,
        empty: OnceLock<Arc<u8>>,
        ref_cell: Mutex<RefCell<Arc<u8>>>,
        once_cell: Mutex<OnceCell<Arc<u8>>>,
        lazy: LazyLock<u8>,
        weak: Weak<u8>,
        counter: AtomicU64,
        flag: AtomicBool,
        pointer: AtomicPtr<u8>,
        function: fn(u8) -> u8,
        range: Range<u32>,
        channel: (mpsc::Sender<Arc<u8>>, Mutex<mpsc::Receiver<Arc<u8>>>),
    }
    let leaf = Arc::new(7);
    let arc = || Arc::clone(&leaf);
    let (sender, receiver) = mpsc::channel();
    sender.send(arc()).unwrap(); // Cannot be traced.
    let cells = Cells {
        mutex: Mutex::new(arc()),
        rw: RwLock::new(arc()),
        once: arc().into(),
        empty: OnceLock::new(),
        ref_cell: Mutex::new(RefCell::new(arc())),
        once_cell: Mutex::new(arc().into()),
        lazy: LazyLock::new(|| 1),
        weak: Arc::downgrade(&leaf),
        counter: AtomicU64::new(0),
        flag: AtomicBool::new(false),
        pointer: AtomicPtr::default(),
        function: |value| value,
        range: 0..7,
        channel: (sender, receiver.into()),
    };
    assert_eq!(count_in(cells, &leaf), 5);
}

#[test]
fn only_traced_type_parameters_are_bound() {
    /// A type without any trait.
    struct Opaque;

    #[derive(Trace)]
    struct Generic<T, U, const N: usize>
    where
        T: Clone,
    {
        values: [T; N],
        #[trace(skip)]
        skipped: Option<U>,
        phantom: PhantomData<U>,
    }
    #[derive(Trace)]
    enum Tree<T> {
        Leaf(T),
        Branch(Vec<Arc<Tree<T>>>),
    }

    let leaf = Arc::new(0);
    let arc = || Arc::clone(&leaf);
    let generic = Generic::<_, Opaque, 3> {
        values: [arc(), arc(), arc()],
        skipped: Some(Opaque),
        phantom: PhantomData,
    };
    assert!(generic.skipped.is_some());
    assert_eq!(count_in(generic, &leaf), 3);
    let tree = Tree::Branch(vec![
        Arc::new(Tree::Leaf(arc())),
        Arc::new(Tree::Leaf(arc())),
    ]);
    assert_eq!(count_in(tree, &leaf), 2);
}

#[test]
fn skipped_field_is_not_traced() {
    #[derive(Trace)]
    struct Skips {
        #[trace(skip)]
        hidden: Arc<u8>,
        shown: Arc<u8>,
    }
    let leaf = Arc::new(0);
    let skips = Skips {
        hidden: Arc::clone(&leaf),
        shown: Arc::clone(&leaf),
    };
    assert_eq!(*skips.hidden, 0);
    assert_eq!(count_in(skips, &leaf), 1);
}

#[test]
fn paths_have_nested_fields_variants_and_type_arguments() {
    #[derive(Trace)]
    struct Outer<T> {
        state: Mutex<State<T>>,
    }
    #[derive(Trace)]
    enum State<T> {
        Idle(T),
        Running { pair: (u8, Inner<T>) },
    }
    #[derive(Trace)]
    struct Inner<T> {
        back: Arc<Outer<T>>,
    }

    let detector = ReferenceCycleDetector::new();
    let outer = Arc::new(Outer {
        state: Mutex::new(State::Idle(1u16)),
    });
    let inner = Inner {
        back: Arc::clone(&outer),
    };
    *outer.state.lock().unwrap() = State::Running { pair: (0, inner) };
    detector.track_object(&outer);
    let weak = Arc::downgrade(&outer);
    drop(outer);
    let report = detector.report();
    assert_eq!(
        report.cycles()[0].to_string(),
        "Outer<u16>.state.Running.pair.back -> Outer<u16>"
    );
    let outer = weak.upgrade().unwrap();
    let state = std::mem::replace(&mut *outer.state.lock().unwrap(), State::Idle(2));
    assert!(matches!(state, State::Running { .. }));
}

#[test]
fn boxed_and_shared_trait_objects_are_traced() {
    trait Stage: Trace + Send + Sync {}
    #[derive(Trace)]
    struct Filter(Arc<u8>);
    impl Stage for Filter {}
    #[derive(Trace)]
    struct Pipeline {
        first: Box<dyn Stage>,
        others: Vec<Arc<dyn Stage>>,
        by_name: HashMap<String, Box<dyn Trace + Send + Sync>>,
    }
    let leaf = Arc::new(0);
    let filter = || Filter(Arc::clone(&leaf));
    let pipeline = Pipeline {
        first: Box::new(filter()),
        others: vec![Arc::new(filter()), Arc::new(filter())],
        by_name: [("last".to_owned(), Box::new(filter()) as _)].into(),
    };
    assert_eq!(count_in(pipeline, &leaf), 4);
}
