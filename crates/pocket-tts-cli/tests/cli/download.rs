//! Downloads of models and voices from a local server that behaves like the Hugging Face Hub.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crate::support::{Place, Run, finish};

/// Serves the files of a folder as the repository `o/r`. Files in `gated` require a token.
struct Server {
    address: String,
    downloads: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn new(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let downloads = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let (counter, stop) = (downloads.clone(), is_over.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                // A client may close its connection early.
                let _ = answer(stream.unwrap(), &folder, &counter);
            }
        });
        Self {
            address,
            downloads,
            is_over,
            thread: Some(thread),
        }
    }

    fn run(&self, place: &Place, arguments: &[&str], token: Option<&str>) -> Run {
        let mut command = place.command(arguments);
        command.env_remove("HF_HUB_OFFLINE");
        command.env("HF_ENDPOINT", format!("http://{}", self.address));
        if let Some(token) = token {
            command.env("HF_TOKEN", token);
        }
        finish(command.spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, folder: &Path, downloads: &AtomicUsize) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let headers: Vec<String> = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .map(|line| line.to_ascii_lowercase())
        .collect();
    let value = |name: &str| headers.iter().find_map(|line| line.strip_prefix(name));
    let address = request.split(' ').nth(1).unwrap_or_default();
    // `/o/r/resolve/<revision>/<file>`
    let file = address.splitn(6, '/').nth(5).unwrap_or_default();
    let mut reply = |status: &str, headers: &str, body: &[u8]| {
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        )?;
        stream.write_all(body)
    };
    if file.starts_with("gated") && value("authorization:").is_none() {
        return reply("401 Unauthorized", "", b"");
    }
    let Ok(content) = fs::read(folder.join(file)) else {
        return reply("404 Not Found", "", b"");
    };
    let described = format!(
        "X-Repo-Commit: 0123456789abcdef0123456789abcdef01234567\r\nETag: \"{}-of-{}\"\r\n",
        content.len(),
        file.replace('/', "-")
    );
    let Some(range) = value("range: bytes=") else {
        downloads.fetch_add(1, Ordering::SeqCst);
        return reply("200 OK", &described, &content);
    };
    let (start, end) = range.split_once('-').unwrap();
    let start: usize = start.parse().unwrap();
    let end = end.parse().unwrap_or(content.len() - 1);
    if end > 0 {
        downloads.fetch_add(1, Ordering::SeqCst);
    }
    let described = format!(
        "{described}Content-Range: bytes {start}-{end}/{}\r\n",
        content.len()
    );
    reply("206 Partial Content", &described, &content[start..=end])
}

/// A folder whose subfolder `model` is served, with a config that refers to the served files.
fn served() -> (Place, Server) {
    let place = Place::with_model();
    fs::rename(
        place.path("tokenizer.model"),
        place.path("model/tokenizer.model"),
    )
    .unwrap();
    fs::create_dir(place.path("model/gated")).unwrap();
    fs::copy(
        place.path("model/model.safetensors"),
        place.path("model/gated/model.safetensors"),
    )
    .unwrap();
    let config = fs::read_to_string(place.path("model/config.yaml")).unwrap();
    let config = config
        .replace("../tokenizer.model", "hf://o/r/tokenizer.model@main")
        .replace(
            "weights_path: model.safetensors",
            "weights_path: hf://o/r/gated/model.safetensors\n\
             weights_path_without_voice_cloning: hf://o/r/model.safetensors",
        );
    place.write("model/config.yaml", config);
    let server = Server::new(place.path("model"));
    (place, server)
}

const SPEAK: [&str; 6] = [
    "generate",
    "Hi.",
    "--config",
    "hf://o/r/config.yaml",
    "--seed",
    "1",
];

#[test]
fn downloads_each_file_once_and_caches_it() {
    let (place, server) = served();
    let arguments = [&SPEAK[..], &["--voice", "hf://o/r/voice.safetensors"]].concat();
    let run = server.run(&place, &arguments, Some("secret")).succeeds();
    for file in [
        "config.yaml",
        "tokenizer.model@main",
        "gated/model.safetensors",
        "voice.safetensors",
    ] {
        let line = format!("downloading hf://o/r/{file}\n");
        assert_eq!(run.stderr.matches(&line).count(), 1, "{}", run.stderr);
    }
    assert!(!run.stderr.contains("secret"));
    let spoken = place.read("tts_output.wav");
    let downloads = server.downloads.load(Ordering::SeqCst);

    let run = server.run(&place, &arguments, None).succeeds();
    assert!(!run.stderr.contains("downloading"), "{}", run.stderr);
    assert_eq!(server.downloads.load(Ordering::SeqCst), downloads);
    // No network is needed any more.
    place.run(&arguments).succeeds();
    assert!(place.read("tts_output.wav") == spoken);
}

#[test]
fn without_access_uses_open_weights_and_explains_access_for_cloning() {
    let (place, server) = served();
    let voice = ["--voice", "hf://o/r/voice.safetensors", "-q"];
    let run = server.run(&place, &[&SPEAK[..], &voice].concat(), None);
    assert_eq!(run.succeeds().stderr, "");
    let recording = ["--voice", "model/voice.wav", "-q"];
    server
        .run(&place, &[&SPEAK[..], &recording].concat(), None)
        .fails(&[
            "these weights cannot clone voices",
            "no access to hf://o/r/gated/model.safetensors (no access token was sent)",
            "accept the terms at http://",
            "HF_TOKEN",
        ]);
    // With access, cloning works.
    server
        .run(&place, &[&SPEAK[..], &recording].concat(), Some("secret"))
        .succeeds();
}

#[test]
fn names_files_that_the_server_does_not_have() {
    let (place, server) = served();
    let arguments = ["generate", "Hi.", "--config", "hf://o/r/nowhere.yaml"];
    server
        .run(&place, &arguments, None)
        .fails(&["hf://o/r/nowhere.yaml does not exist"]);
    let arguments = [&SPEAK[..], &["--voice", "hf://o/r/nobody.wav", "-q"]].concat();
    server
        .run(&place, &arguments, Some("secret"))
        .fails(&["hf://o/r/nobody.wav does not exist"]);
}
