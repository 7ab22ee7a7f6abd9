//! A local web server whose responses are set by a test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::content;
use crate::hub::hex;

/// A request, with its header names in lower case.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first requested byte.
    pub fn start(&self) -> usize {
        let range = self
            .header("range")
            .and_then(|range| range.strip_prefix("bytes="));
        range.map_or(0, |range| range.split('-').next().unwrap().parse().unwrap())
    }

    /// Whether only the metadata is requested, which `hf-hub` does by downloading the first byte.
    pub fn requests_metadata(&self) -> bool {
        self.header("range") == Some("bytes=0-0")
    }
}

/// A response.
#[derive(Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Close the connection after this many bytes of the body.
    pub cut: Option<usize>,
    /// Send nothing, and keep the connection open.
    pub silent: bool,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A file, or the requested range of it.
    pub fn file(content: &[u8], request: &Request) -> Self {
        if request.header("range").is_none() {
            return Self {
                body: content.to_vec(),
                ..Self::new(200)
            };
        }
        let (start, size) = (request.start(), content.len());
        if start >= size {
            return Self::new(416).header("Content-Range", format!("bytes */{size}"));
        }
        let end = if request.requests_metadata() { 1 } else { size };
        Self {
            body: content[start..end].to_vec(),
            ..Self::new(206)
        }
        .header("Content-Range", format!("bytes {start}-{}/{size}", end - 1))
    }

    pub fn cut(mut self, cut: usize) -> Self {
        self.cut = Some(cut);
        self
    }
}

type Answer = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let answer: Arc<Answer> = Arc::new(Box::new(answer));
        let (log, stopping) = (Arc::clone(&requests), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    break;
                }
                let (answer, log, stop) =
                    (Arc::clone(&answer), Arc::clone(&log), Arc::clone(&stopping));
                connections.push(thread::spawn(move || {
                    serve(stream.unwrap(), &answer, &log, &stop)
                }));
            }
            connections
                .into_iter()
                .for_each(|connection| connection.join().unwrap());
        });
        Self {
            address,
            requests,
            stop,
            thread: Some(thread),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// All requests for a file of [`hub`] itself.
    pub fn downloads(&self) -> Vec<Request> {
        let is_download =
            |request: &Request| request.path == "/storage" && !request.requests_metadata();
        self.requests().into_iter().filter(is_download).collect()
    }

    /// The first requested bytes of [`Self::downloads`].
    pub fn starts(&self) -> Vec<usize> {
        self.downloads().iter().map(Request::start).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            if !thread::panicking() {
                result.unwrap();
            }
        }
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, log: &Mutex<Vec<Request>>, stop: &AtomicBool) {
    let Some(request) = read_request(&stream) else {
        return;
    };
    let reply = answer(&request);
    log.lock().unwrap().push(request);
    while reply.silent && !stop.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(10));
    }
    let mut head = format!(
        "HTTP/1.1 {} x\r\nConnection: close\r\nContent-Length: {}\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let body = &reply.body[..reply.cut.unwrap_or(reply.body.len())];
    // A client may close the connection early; that is not a failure.
    let _ = stream
        .write_all(format!("{head}\r\n").as_bytes())
        .and_then(|()| stream.write_all(body));
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let _ = stream.read(&mut [0; 64]);
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let path = words.nth(1)?;
    let mut headers = Vec::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(Request { path, headers })
}

/// The commit in the responses of [`hub`].
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The SHA-256 of a file's contents, which is its ETag in large storage.
pub fn etag(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

static ETAG: LazyLock<String> = LazyLock::new(|| etag(&content()));

/// The Hub's response for a file in large storage with [`content`], and the response of that storage.
pub fn hub(request: &Request) -> Reply {
    match request.path.as_str() {
        "/storage" => Reply::file(&content(), request),
        _ => {
            let host = request.header("host").unwrap();
            Reply::new(302)
                .header("X-Repo-Commit", COMMIT)
                .header("X-Linked-Etag", format!("\"{}\"", *ETAG))
                .header("ETag", "\"of-the-redirection\"")
                .header("Location", format!("http://{host}/storage"))
        }
    }
}

/// A server with one file under all names and in all revisions.
pub fn whole() -> Server {
    Server::new(hub)
}

/// Such a server, with `change` applied to the responses to the downloads with these indices.
pub fn with_change(
    numbers: std::ops::Range<usize>,
    change: impl Fn(Reply, &Request) -> Reply + Send + Sync + 'static,
) -> Server {
    let downloads = AtomicUsize::new(0);
    Server::new(move |request| {
        let reply = hub(request);
        if request.path != "/storage" || request.requests_metadata() {
            return reply;
        }
        match numbers.contains(&downloads.fetch_add(1, Ordering::SeqCst)) {
            true => change(reply, request),
            false => reply,
        }
    })
}

/// The paths of the file's blob and of its partial download.
pub fn blob(cache: &TempDir) -> (PathBuf, PathBuf) {
    let blobs = cache.path().join("models--o--r/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let blob = blobs.join(etag(&content()));
    (blob.clone(), blob.with_extension("part"))
}
