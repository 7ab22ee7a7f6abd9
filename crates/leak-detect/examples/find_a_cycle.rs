//! Finds a cycle between a session and its decoder, prints it as text and as a graph, and breaks it.
//!
//! `cargo run -p leak-detect --example find_a_cycle > leak.dot && dot -Tsvg leak.dot > leak.svg`

use std::sync::{Arc, Mutex};

use leak_detect::{ReferenceCycleDetector, Trace, Unlink};

#[derive(Trace, Default)]
#[trace(unlink)]
struct Session {
    decoder: Mutex<Option<Arc<Decoder>>>,
    history: Mutex<Vec<Arc<Message>>>,
}

#[derive(Trace)]
struct Decoder {
    // Should be a `Weak`.
    owner: Arc<Session>,
    buffer: Vec<u8>,
}

#[derive(Trace)]
struct Message {
    text: String,
}

impl Unlink for Session {
    fn unlink(&self) {
        let decoder = self.decoder.lock().unwrap().take();
        drop(decoder);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        eprintln!("session dropped");
    }
}

fn open_and_close_a_session(detector: &ReferenceCycleDetector) {
    let session = Arc::new(Session::default());
    detector.track_object(&session);
    let decoder = Decoder {
        owner: Arc::clone(&session),
        buffer: vec![0; 64 * 1024],
    };
    *session.decoder.lock().unwrap() = Some(Arc::new(decoder));
    let text = String::from("hello");
    session
        .history
        .lock()
        .unwrap()
        .push(Arc::new(Message { text }));

    let decoder = session
        .decoder
        .lock()
        .unwrap()
        .clone()
        .expect("the decoder is set");
    let messages = decoder.owner.history.lock().unwrap().clone();
    eprintln!(
        "buffer of {} bytes, message {:?}",
        decoder.buffer.len(),
        messages[0].text
    );
}

fn main() {
    let detector = ReferenceCycleDetector::new();
    open_and_close_a_session(&detector);

    let report = detector.report();
    eprintln!("{report}");
    print!("{}", report.to_dot());

    let broken = detector.break_cycles();
    eprintln!(
        "{} object unlinked, {} objects in leaked cycles",
        broken.objects_unlinked,
        detector.detect_cycles()
    );
}
