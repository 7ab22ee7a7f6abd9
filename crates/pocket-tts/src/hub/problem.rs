//! Explanations of failed transfers.

use std::io::{self, ErrorKind};

/// Whether the error concerns the cache folder, not the connection.
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

/// Explains a failed request, with a remedy.
pub(super) fn explain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(status) => {
            let meaning = match status {
                429 => ": too many requests, try again later",
                500..=599 => ": the server has a problem, try again later",
                _ => "",
            };
            format!("the server responded with {status}{meaning}")
        }
        ureq::Error::HostNotFound => {
            "its server's name cannot be resolved; check the network connection".to_owned()
        }
        ureq::Error::Timeout(_) => timeout(),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::TimedOut => timeout(),
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

fn timeout() -> String {
    "the server does not respond; check the network connection, or try again later".to_owned()
}
