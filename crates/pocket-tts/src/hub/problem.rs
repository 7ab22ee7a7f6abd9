//! What a failed transfer means, and what can be done.

use std::io::{self, ErrorKind};

/// Whether this is a problem of the cache's folder, not of the connection.
pub(super) fn is_of_storage(error: &io::Error) -> bool {
    use ErrorKind::*;
    matches!(
        error.kind(),
        StorageFull
            | QuotaExceeded
            | PermissionDenied
            | ReadOnlyFilesystem
            | NotFound
            | AlreadyExists
            | NotADirectory
            | IsADirectory
            | InvalidFilename
            | FileTooLarge
    )
}

/// What a failed request means.
pub(super) fn explain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(status) => {
            let meaning = match status {
                429 => ": too many requests, wait a while",
                500..=599 => ": the server has a problem, try again later",
                _ => "",
            };
            format!("the server answers {status}{meaning}")
        }
        ureq::Error::HostNotFound => {
            "its server's name is not known; check the network connection".to_owned()
        }
        ureq::Error::Timeout(_) => silent(),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::TimedOut => silent(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
                format!("the connection broke ({error}); try again")
            }
            ErrorKind::ConnectionRefused => format!("no connection to its server ({error})"),
            _ => format!(
                "the connection to its server failed ({error}); check the network connection"
            ),
        },
        other => other.to_string(),
    }
}

fn silent() -> String {
    "the server keeps silent; check the network connection, or try later".to_owned()
}
