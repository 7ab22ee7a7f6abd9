//! Files from any web server.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::server::{Reply, Server, etag};
use super::{content, hub, hub_with_short_timeout, location, options, together, watched};

#[test]
fn downloads_once_under_the_references_name() {
    let cache = TempDir::new().unwrap();
    let server = Server::new(|request| Reply::file(&content(), request));
    let address = server.url("/a/voice.wav?x=1.json");
    let hub = hub(options(&cache, "http://127.0.0.1:1"));
    let path = hub.resolve(&location(&address)).unwrap();
    assert_eq!(
        path,
        cache
            .path()
            .join("urls")
            .join(format!("{}.wav", etag(address.as_bytes())))
    );
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(server.requests()[0].header("authorization"), None);
    drop(server);
    assert_eq!(hub.resolve(&location(&address)).unwrap(), path);
    let files = fs::read_dir(cache.path().join("urls")).unwrap();
    assert!(
        files
            .flatten()
            .all(|file| !file.file_name().to_string_lossy().ends_with(".part"))
    );
}

#[test]
fn a_broken_download_leaves_no_file_and_the_next_one_restarts() {
    let cache = TempDir::new().unwrap();
    let answers = AtomicUsize::new(0);
    let server = Server::new(move |request| {
        let reply = Reply::file(&content(), request);
        match answers.fetch_add(1, Ordering::SeqCst) {
            0 => reply.cut(400_000),
            _ => reply,
        }
    });
    let file = location(&server.url("/f"));
    let (hub, watcher) = watched(options(&cache, "http://127.0.0.1:1"));
    let text = hub.resolve(&file).unwrap_err().to_string();
    assert!(
        text.contains("the connection broke") && text.contains("try again"),
        "{text}"
    );
    assert_eq!(hub.cached(&file), None);
    assert_eq!(fs::read(hub.resolve(&file).unwrap()).unwrap(), content());
    let updates = watcher.updates.lock().unwrap();
    assert_eq!(updates[0], (0, Some(1_200_000)));
    assert_eq!(*updates.last().unwrap(), (1_200_000, Some(1_200_000)));
    assert_eq!(*watcher.done.lock().unwrap(), [file.to_string()]);
}

#[test]
fn a_server_without_data_times_out() {
    let cache = TempDir::new().unwrap();
    let server = Server::new(|_| Reply {
        silent: true,
        ..Reply::default()
    });
    let text = hub_with_short_timeout(options(&cache, "http://127.0.0.1:1"))
        .resolve(&location(&server.url("/f")))
        .unwrap_err()
        .to_string();
    assert!(text.contains("does not respond"), "{text}");
}

#[test]
fn a_rejected_request_leaves_no_file() {
    for (status, expected) in [
        (404, "does not exist"),
        (403, "403"),
        (500, "try again later"),
    ] {
        let cache = TempDir::new().unwrap();
        let server = Server::new(move |_| Reply::new(status));
        let file = location(&server.url("/f.bin"));
        let hub = hub(options(&cache, "http://127.0.0.1:1"));
        let text = hub.resolve(&file).unwrap_err().to_string();
        assert!(
            text.contains(&file.to_string()) && text.contains(expected),
            "{text}"
        );
        assert_eq!(hub.cached(&file), None);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn concurrent_programs_download_a_file_once() {
    let cache = TempDir::new().unwrap();
    let server = Server::new(|request| Reply::file(&content(), request));
    let file = location(&server.url("/f.bin"));
    together(|| {
        let path = hub(options(&cache, "http://127.0.0.1:1"))
            .resolve(&file)
            .unwrap();
        assert_eq!(fs::read(path).unwrap(), content());
    });
    assert_eq!(server.requests().len(), 1);
}
