//! Repository files that cannot be downloaded, and the errors.

use std::fs;

use tempfile::TempDir;

use super::server::{COMMIT, Reply, Request, Server, blob, whole, with_change};
use super::{content, hub, hub_with_short_timeout, location, options};
use crate::hub::HubError;
use crate::hub::HubOptions;
use crate::source::chain;

#[test]
fn gives_up_after_repeated_connection_failures() {
    let cache = TempDir::new().unwrap();
    let server = with_change(0..9, |reply, _| reply.cut(100_000));
    let text = hub(options(&cache, &server.url("")))
        .resolve(&location("hf://o/r/f.bin"))
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with("cannot download hf://o/r/f.bin: the connection broke")
            && text.contains("try again"),
        "{text}"
    );
    assert_eq!(server.starts(), [0, 100_000, 200_000, 300_000]);
}

#[test]
fn deletes_wrong_contents() {
    let changed = |mut reply: Reply, _: &Request| {
        reply.body[600_000] ^= 1;
        reply
    };
    // A server that ignores the requested range and always responds from the first byte.
    let anew = |_: Reply, request: &Request| {
        let reply = Reply {
            body: content(),
            ..Reply::new(200)
        };
        if request.start() == 0 {
            reply.cut(300_000)
        } else {
            reply
        }
    };
    for server in [with_change(0..9, changed), with_change(0..9, anew)] {
        let cache = TempDir::new().unwrap();
        let file = location("hf://o/r/f.bin");
        let text = hub(options(&cache, &server.url("")))
            .resolve(&file)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("SHA-256 is wrong") && text.contains("try again"),
            "{text}"
        );
        assert_eq!(
            fs::read_dir(cache.path().join("models--o--r/blobs"))
                .unwrap()
                .flatten()
                .filter(|file| file
                    .path()
                    .extension()
                    .is_none_or(|ending| ending != "lock"))
                .count(),
            0
        );
        let server = whole();
        let hub = hub(options(&cache, &server.url("")));
        assert_eq!(hub.cached(&file), None);
        assert_eq!(fs::read(hub.resolve(&file).unwrap()).unwrap(), content());
        assert_eq!(server.starts(), [0]);
    }
}

#[test]
fn a_download_without_data_times_out() {
    let cache = TempDir::new().unwrap();
    let server = with_change(0..9, |reply, _| Reply {
        silent: true,
        ..reply
    });
    let text = hub_with_short_timeout(options(&cache, &server.url("")))
        .resolve(&location("hf://o/r/f.bin"))
        .unwrap_err()
        .to_string();
    assert!(text.contains("does not respond"), "{text}");
    // Two requests for metadata and one for the contents, each to the Hub and to its storage.
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn rejects_names_that_urls_cannot_contain() {
    let cache = TempDir::new().unwrap();
    for name in [
        "a b.json",
        "a?b.json",
        "a#b.json",
        "a%20b.json",
        "a.json@50%",
    ] {
        let text = hub(options(&cache, "http://127.0.0.1:1"))
            .resolve(&location(&format!("hf://o/r/{name}")))
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("a character that URLs cannot contain"),
            "{text}"
        );
    }
}

#[test]
fn access_errors_describe_how_to_get_access() {
    for (status, token, expected) in [
        (401, None, "no access token was sent"),
        (403, Some("mine"), "the access token was rejected"),
    ] {
        let cache = TempDir::new().unwrap();
        let server = Server::new(move |_| Reply::new(status).header("X-Error-Code", "GatedRepo"));
        let hub = hub(HubOptions {
            token: token.map(str::to_owned),
            ..options(&cache, &server.url(""))
        });
        let error = hub.resolve(&location("hf://o/r/f.bin")).unwrap_err();
        assert!(matches!(error, HubError::AccessDenied { .. }));
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("no access to hf://o/r/f.bin ({expected})")),
            "{text}"
        );
        assert!(
            text.contains(&format!("accept the terms at {}", server.url("/o/r"))),
            "{text}"
        );
        assert!(
            text.contains("`hf auth login`") && text.contains("HF_TOKEN"),
            "{text}"
        );
        let sent = server.requests()[0]
            .header("authorization")
            .map(str::to_owned);
        assert_eq!(sent, token.map(|token| format!("Bearer {token}")));
    }
}

#[test]
fn missing_files_are_reported() {
    let cache = TempDir::new().unwrap();
    let server = Server::new(|_| Reply::new(404));
    let error = hub(options(&cache, &server.url("")))
        .resolve(&location("hf://o/r/f.bin@v9"))
        .unwrap_err();
    assert!(matches!(error, HubError::NotFound { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("hf://o/r/f.bin@v9 does not exist: ")
            && text.contains(
                "no repository o/r, or the repository has no revision v9 with a file f.bin"
            ),
        "{text}"
    );
}

#[test]
fn rejects_invalid_responses_before_writing() {
    fn commit(request: &Request) -> Reply {
        Reply::file(b"{}", request).header("X-Repo-Commit", COMMIT)
    }
    type Answer = fn(&Request) -> Reply;
    let answers: [(Answer, &str); 9] = [
        (|_| Reply::new(200).header("ETag", "a"), "x-repo-commit"),
        (commit, "etag"),
        (
            |request| commit(request).header("ETag", "\"../../../x\""),
            "is not a valid name",
        ),
        (
            |request| commit(request).header("ETag", "\"\""),
            "is not a valid name",
        ),
        (
            |request| commit(request).header("ETag", "/x"),
            "is not a valid name",
        ),
        (
            |request| {
                Reply::file(b"{}", request)
                    .header("X-Repo-Commit", "..")
                    .header("ETag", "a")
            },
            "is not a valid name",
        ),
        (
            |_| {
                Reply::new(302)
                    .header("X-Repo-Commit", COMMIT)
                    .header("ETag", "a")
            },
            "hf-hub cannot read",
        ),
        (|_| Reply::new(500), "try again later"),
        (|_| Reply::new(429), "too many requests"),
    ];
    for (answer, expected) in answers {
        let cache = TempDir::new().unwrap();
        let server = Server::new(answer);
        let text = hub(options(&cache, &server.url("")))
            .resolve(&location("hf://o/r/f.bin"))
            .unwrap_err()
            .to_string();
        assert!(
            text.starts_with("cannot download hf://o/r/f.bin: ") && text.contains(expected),
            "{expected}: {text}"
        );
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_with_the_remedy() {
    let cache = TempDir::new().unwrap();
    // Every write to this device fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", blob(&cache).1).unwrap();
    let server = whole();
    let error = hub(options(&cache, &server.url("")))
        .resolve(&location("hf://o/r/f.bin"))
        .unwrap_err();
    let text = chain(&error);
    assert!(
        text.starts_with("cannot store hf://o/r/f.bin in the cache at "),
        "{text}"
    );
    assert!(
        text.contains("No space left") && text.contains("set HF_HOME"),
        "{text}"
    );
}

#[test]
fn an_unwritable_cache_is_reported_with_its_path() {
    let cache = TempDir::new().unwrap();
    fs::write(cache.path().join("models--o--r"), "in the way").unwrap();
    let server = whole();
    let text = hub(options(&cache, &server.url("")))
        .resolve(&location("hf://o/r/f.bin"))
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("cannot store hf://o/r/f.bin in the cache at ")
            && text.contains("models--o--r"),
        "{text}"
    );
}
