//! Files of repositories that are found, downloaded and continued.

use std::fs;

use tempfile::TempDir;

use super::server::{self, COMMIT, Reply, Server, blob, etag, whole, with_change};
use super::{content, hub, location, options, together, watched};
use crate::hub::HubOptions;

#[test]
fn a_file_is_downloaded_once_and_laid_out_as_huggingface_hub_does() {
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
        "no unfinished file stays"
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
fn what_huggingface_hub_downloaded_is_found() {
    let cache = TempDir::new().unwrap();
    let snapshot = cache.path().join("models--o--r/snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(snapshot.join("f.bin"), "x").unwrap();
    let hub = hub(options(&cache, "http://127.0.0.1:1"));
    // It notes no commits under `refs`, only branches.
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
fn a_connection_that_breaks_is_made_again_from_where_it_broke() {
    let cache = TempDir::new().unwrap();
    let server = with_change(0..2, |reply, _| reply.cut(500_000));
    let (hub, watcher) = watched(options(&cache, &server.url("")));
    let path = hub.resolve(&location("hf://o/r/f.bin@v1")).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert_eq!(server.starts(), [0, 500_000, 1_000_000]);
    let steps = watcher.steps.lock().unwrap();
    assert!(steps.is_sorted() && steps.len() > 10);
    assert_eq!(steps[0], (0, Some(1_200_000)));
    assert_eq!(*steps.last().unwrap(), (1_200_000, Some(1_200_000)));
    assert_eq!(*watcher.done.lock().unwrap(), ["hf://o/r/f.bin@v1"]);
}

#[test]
fn a_later_run_goes_on_where_an_earlier_one_stopped() {
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
    assert_eq!(watcher.steps.lock().unwrap()[0], (700_000, Some(1_200_000)));
}

#[test]
fn an_unfinished_file_that_is_whole_is_finished_and_one_too_long_is_downloaded_anew() {
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
fn contents_that_came_with_another_commit_are_not_downloaded_again() {
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
fn a_link_to_a_blob_that_is_gone_is_replaced() {
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
fn small_files_are_sent_without_a_redirection() {
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
fn a_renamed_repository_is_followed_on_its_server() {
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
fn two_programs_download_a_file_once() {
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
