//! Repository files that are found, downloaded and resumed.

use std::fs;

use tempfile::TempDir;

use super::server::{self, COMMIT, Reply, Server, blob, etag, whole, with_change};
use super::{content, hub, location, options, together, watched};
use crate::hub::HubOptions;

#[test]
fn downloads_once_into_the_layout_of_huggingface_hub() {
    let cache = TempDir::new().unwrap();
    let file = location("hf://o/r/sub/f.bin");
    let server = whole();
    let first = hub(options(&cache, &server.url("")));
    assert_eq!(first.cached(&file), None);
    let path = first.resolve(&file).unwrap();
    let root = cache.path().join("models--o--r");
    assert_eq!(path, root.join("snapshots").join(COMMIT).join("sub/f.bin"));
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    let blob = root.join("blobs").join(etag(&content()));
    assert_eq!(fs::read(&blob).unwrap(), content());
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(&path).unwrap(),
        std::path::Path::new("../../../blobs").join(etag(&content()))
    );
    assert!(
        !blob.with_extension("part").exists(),
        "no partial file remains"
    );
    assert_eq!(server.requests()[0].path, "/o/r/resolve/main/sub/f.bin");
    assert_eq!(server.starts(), [0]);

    let address = server.url("");
    drop(server);
    let again = hub(options(&cache, &address));
    assert_eq!(again.resolve(&file).unwrap(), path);
    assert_eq!(
        again
            .resolve(&location(&format!("hf://o/r/sub/f.bin@{COMMIT}")))
            .unwrap(),
        path
    );
    assert_eq!(
        hub(HubOptions {
            offline: true,
            ..options(&cache, &address)
        })
        .resolve(&file)
        .unwrap(),
        path
    );
}

#[test]
fn finds_downloads_of_huggingface_hub() {
    let cache = TempDir::new().unwrap();
    let snapshot = cache.path().join("models--o--r/snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(snapshot.join("f.bin"), "x").unwrap();
    let hub = hub(options(&cache, "http://127.0.0.1:1"));
    // `huggingface_hub` stores only branches under `refs`, no commits.
    let path = Some(snapshot.join("f.bin"));
    assert_eq!(
        hub.cached(&location(&format!("hf://o/r/f.bin@{COMMIT}"))),
        path
    );
    assert_eq!(hub.cached(&location("hf://o/r/f.bin@refs/pr/1")), None);
    let branch = cache.path().join("models--o--r/refs/refs/pr");
    fs::create_dir_all(&branch).unwrap();
    fs::write(branch.join("1"), COMMIT).unwrap();
    assert_eq!(hub.cached(&location("hf://o/r/f.bin@refs/pr/1")), path);
    fs::write(branch.join("1"), "../../../..").unwrap();
    assert_eq!(hub.cached(&location("hf://o/r/f.bin@refs/pr/1")), None);
}

#[test]
fn resumes_after_a_broken_connection() {
    let cache = TempDir::new().unwrap();
    let server = with_change(0..2, |reply, _| reply.cut(500_000));
    let (hub, watcher) = watched(options(&cache, &server.url("")));
    let path = hub.resolve(&location("hf://o/r/f.bin@v1")).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert_eq!(server.starts(), [0, 500_000, 1_000_000]);
    let updates = watcher.updates.lock().unwrap();
    assert!(updates.is_sorted() && updates.len() > 10);
    assert_eq!(updates[0], (0, Some(1_200_000)));
    assert_eq!(*updates.last().unwrap(), (1_200_000, Some(1_200_000)));
    assert_eq!(*watcher.done.lock().unwrap(), ["hf://o/r/f.bin@v1"]);
}

#[test]
fn resumes_the_download_of_an_earlier_run() {
    let cache = TempDir::new().unwrap();
    let file = location("hf://o/r/f.bin");
    {
        let server = with_change(0..9, |reply, request| match request.start() {
            0 => reply.cut(700_000),
            _ => Reply::new(503),
        });
        let text = hub(options(&cache, &server.url("")))
            .resolve(&file)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("503") && text.contains("try again later"),
            "{text}"
        );
        assert_eq!(server.starts(), [0, 700_000, 700_000, 700_000]);
    }
    let server = whole();
    let (hub, watcher) = watched(options(&cache, &server.url("")));
    assert_eq!(hub.cached(&file), None);
    assert_eq!(fs::read(hub.resolve(&file).unwrap()).unwrap(), content());
    assert_eq!(server.starts(), [700_000]);
    assert_eq!(
        watcher.updates.lock().unwrap()[0],
        (700_000, Some(1_200_000))
    );
}

#[test]
fn completes_a_full_partial_file_and_discards_one_that_is_too_long() {
    for (extra, start) in [(0, 1_199_999), (5, 0)] {
        let cache = TempDir::new().unwrap();
        fs::write(blob(&cache).1, [content(), vec![7; extra]].concat()).unwrap();
        let server = whole();
        let path = hub(options(&cache, &server.url("")))
            .resolve(&location("hf://o/r/f.bin"))
            .unwrap();
        assert_eq!(fs::read(path).unwrap(), content());
        assert_eq!(server.starts(), [start]);
    }
}

#[test]
fn reuses_the_contents_of_another_commit() {
    let cache = TempDir::new().unwrap();
    fs::write(blob(&cache).0, content()).unwrap();
    let server = whole();
    let path = hub(options(&cache, &server.url("")))
        .resolve(&location("hf://o/r/f.bin"))
        .unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert_eq!(server.starts(), [1_199_999]);
}

#[cfg(unix)]
#[test]
fn replaces_a_link_to_a_deleted_blob() {
    let cache = TempDir::new().unwrap();
    let snapshot = cache.path().join("models--o--r/snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink("../../blobs/gone", snapshot.join("f.bin")).unwrap();
    let server = whole();
    let path = hub(options(&cache, &server.url("")))
        .resolve(&location(&format!("hf://o/r/f.bin@{COMMIT}")))
        .unwrap();
    assert_eq!(path, snapshot.join("f.bin"));
    assert_eq!(fs::read(path).unwrap(), content());
}

#[test]
fn accepts_files_without_redirection() {
    let cache = TempDir::new().unwrap();
    let server = Server::new(|request| {
        Reply::file(b"{}", request)
            .header("X-Repo-Commit", COMMIT)
            .header("ETag", "W/\"44136fa355b3678a1146ad16f7e8649e94fb4fc2\"")
    });
    let path = hub(options(&cache, &server.url("")))
        .resolve(&location("hf://o/r/c-é.json@a/b"))
        .unwrap();
    assert_eq!(fs::read(path).unwrap(), b"{}");
    assert!(
        server.requests()[0]
            .path
            .starts_with("/o/r/resolve/a%2Fb/c-")
    );
    assert_eq!(
        fs::read_to_string(cache.path().join("models--o--r/refs/a/b")).unwrap(),
        COMMIT
    );
}

#[test]
fn follows_the_redirection_of_a_renamed_repository() {
    let cache = TempDir::new().unwrap();
    let server = Server::new(|request| match request.path.starts_with("/o/") {
        true => Reply::new(307).header("Location", "/new/r/resolve/main/f.bin"),
        false => server::hub(request),
    });
    let path = hub(options(&cache, &server.url("")))
        .resolve(&location("hf://o/r/f.bin"))
        .unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
}

#[test]
fn concurrent_programs_download_a_file_once() {
    let cache = TempDir::new().unwrap();
    let server = whole();
    together(|| {
        let path = hub(options(&cache, &server.url("")))
            .resolve(&location("hf://o/r/f.bin"))
            .unwrap();
        assert_eq!(fs::read(path).unwrap(), content());
    });
    assert_eq!(server.starts(), [0]);
}
