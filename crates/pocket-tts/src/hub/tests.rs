//! Downloads from a local server.

mod refused;
mod repository;
mod server;
mod url;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::Hub;
use super::error::HubError;
use super::options::{HubOptions, Progress};
use crate::location::Location;

fn location(text: &str) -> Location {
    Location::parse(text, "/").unwrap()
}

/// More than a megabyte without repetitions.
fn content() -> Vec<u8> {
    (0..150_000u64)
        .flat_map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
        .collect()
}

fn options(cache: &TempDir, endpoint: &str) -> HubOptions {
    HubOptions {
        cache_dir: Some(cache.path().to_owned()),
        endpoint: Some(endpoint.to_owned()),
        ..HubOptions::default()
    }
}

/// A hub with a timeout that a loaded machine does not exceed.
fn hub(options: HubOptions) -> Hub {
    Hub {
        options,
        timeout: Duration::from_secs(100),
    }
}

fn hub_with_short_timeout(options: HubOptions) -> Hub {
    Hub {
        options,
        timeout: Duration::from_secs(3),
    }
}

/// Records its calls.
#[derive(Default, leak_detect::Trace)]
struct Watcher {
    updates: Mutex<Vec<(u64, Option<u64>)>>,
    done: Mutex<Vec<String>>,
}

impl Progress for Watcher {
    fn downloading(&self, _: &Location, bytes: u64, total: Option<u64>) {
        self.updates.lock().unwrap().push((bytes, total));
    }

    fn downloaded(&self, location: &Location) {
        self.done.lock().unwrap().push(location.to_string());
    }
}

#[test]
fn a_local_path_must_be_a_file() {
    let folder = TempDir::new().unwrap();
    let hub = Hub::new(HubOptions {
        offline: true,
        ..HubOptions::default()
    });
    let file = folder.path().join("a.bin");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(hub.resolve(&Location::Local(file.clone())).unwrap(), file);
    assert_eq!(hub.cached(&Location::Local(file.clone())), Some(file));
    for (path, reason) in [
        (folder.path().join("none"), "No such file"),
        (folder.path().to_owned(), "it is not a regular file"),
    ] {
        let error = hub.resolve(&Location::Local(path.clone())).unwrap_err();
        let text = crate::source::chain(&error);
        assert!(
            text.starts_with(&format!("cannot open {}: ", path.display())) && text.contains(reason),
            "{text}"
        );
        assert_eq!(hub.cached(&Location::Local(path)), None);
    }
}

#[test]
fn reads_the_environment_like_huggingface_hub() {
    let home = TempDir::new().unwrap();
    std::fs::write(home.path().join("token"), "stored\n").unwrap();
    let with = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        HubOptions::from_variables(move |name| {
            pairs
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.into())
        })
    };
    let home_text = home.path().to_str().unwrap();
    let options = with(&[("HF_HOME", home_text)]);
    assert_eq!(
        options.repository_folder().unwrap(),
        home.path().join("hub")
    );
    assert_eq!(options.token.as_deref(), Some("stored"));
    assert_eq!(options.endpoint(), "https://huggingface.co");
    assert!(!options.offline);
    let options = with(&[
        ("HF_HOME", home_text),
        ("HF_HUB_CACHE", "/elsewhere"),
        ("HF_TOKEN", " mine "),
        ("HF_ENDPOINT", "https://mirror.example/"),
        ("HF_HUB_OFFLINE", "1"),
    ]);
    assert_eq!(
        options.repository_folder().unwrap(),
        Path::new("/elsewhere")
    );
    assert_eq!(options.token.as_deref(), Some("mine"));
    assert_eq!(options.endpoint(), "https://mirror.example");
    assert!(options.offline);
    let options = with(&[
        ("HF_HOME", ""),
        ("HF_TOKEN", ""),
        ("HF_TOKEN_PATH", "/none"),
        ("HF_HUB_OFFLINE", "0"),
    ]);
    assert_eq!(
        (options.cache_dir, options.token, options.offline),
        (None, None, false)
    );
}

#[test]
fn unreachable_servers_have_distinct_errors() {
    let cache = TempDir::new().unwrap();
    let file = location("hf://o/r/f.bin");
    let problem = |endpoint: &str| match hub_with_short_timeout(options(&cache, endpoint))
        .resolve(&file)
        .unwrap_err()
    {
        HubError::Download { reason, .. } => reason,
        other => panic!("{other}"),
    };
    let refused = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let text = problem(&format!("http://{refused}"));
    assert!(text.contains("no connection to its server"), "{text}");
    let text = problem("http://no-such-host.invalid");
    assert!(text.contains("check the network connection"), "{text}");
    let silent = server::Server::new(|_| server::Reply {
        silent: true,
        ..server::Reply::default()
    });
    let text = problem(&silent.url(""));
    assert!(
        text.contains("does not respond") && text.contains("try again later"),
        "{text}"
    );
    assert!(!cache.path().join("models--o--r").exists());
}

#[test]
fn offline_there_are_no_requests_and_the_error_has_a_remedy() {
    let cache = TempDir::new().unwrap();
    let server = server::Server::new(|_| panic!("a request while offline"));
    let hub = hub(HubOptions {
        offline: true,
        ..options(&cache, &server.url(""))
    });
    let text = hub
        .resolve(&location("hf://o/r/a/f.bin@v1"))
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with("hf://o/r/a/f.bin@v1 is not on this machine and downloads are disabled"),
        "{text}"
    );
    assert!(
        text.contains("`hf download o/r a/f.bin --revision v1`"),
        "{text}"
    );
    let text = hub
        .resolve(&location(&server.url("/f.bin")))
        .unwrap_err()
        .to_string();
    assert!(text.contains("give its path instead"), "{text}");
    assert_eq!(server.requests().len(), 0);
}

/// Runs two hubs with one cache, like two programs.
fn together(run: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(&run)).collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

fn watched(options: HubOptions) -> (Hub, Arc<Watcher>) {
    let watcher = Arc::new(Watcher::default());
    (
        hub(HubOptions {
            progress: Some(watcher.clone()),
            ..options
        }),
        watcher,
    )
}
