//! Locations of files: local paths, URLs and files in Hugging Face repositories.

use std::fmt;
use std::path::{Path, PathBuf};

/// The location of a file.
///
/// ```
/// # use std::path::Path;
/// use pocket_tts::Location;
/// let location = Location::parse("hf://kyutai/pocket-tts/model.safetensors@main", ".")?;
/// assert_eq!(
///     location,
///     Location::Hub {
///         repo: "kyutai/pocket-tts".into(),
///         file: "model.safetensors".into(),
///         revision: Some("main".into()),
///     }
/// );
/// assert_eq!(Location::parse("voice.wav", "models")?.to_string(), "models/voice.wav");
/// # Ok::<(), pocket_tts::LocationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A local file.
    Local(PathBuf),
    /// An `https://` or `http://` URL. Both are accepted, as in the reference: a server on the local
    /// network seldom has a certificate, and every downloaded file is data that its loader validates,
    /// never code.
    Url(String),
    /// A file in a Hugging Face model repository.
    Hub {
        /// `owner/name`.
        repo: String,
        /// The file's path inside the repository, with `/` between folders.
        file: String,
        /// A branch, tag or commit; the repository's `main` branch when `None`.
        revision: Option<String>,
    },
}

/// A text is not a valid [`Location`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{location:?} is not a valid location: {problem}; use {SYNTAX}")]
#[non_exhaustive]
pub struct LocationError {
    /// The text.
    pub location: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The syntax of locations, for error messages.
pub(crate) const SYNTAX: &str =
    "a local path, https://host/path, or hf://owner/repository/path[@revision]";

impl Location {
    /// Parses a location; a relative local path is relative to `base`.
    ///
    /// # Errors
    ///
    /// The text is empty, its scheme is not `https`, `http` or `hf`, or the address is incomplete or
    /// leads out of its repository.
    pub fn parse(text: &str, base: impl AsRef<Path>) -> Result<Self, LocationError> {
        let reject = |problem| LocationError {
            location: text.to_owned(),
            problem,
        };
        if text.trim().is_empty() {
            return Err(reject("it is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(reject("it contains a control character"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Local(base.as_ref().join(text)));
        };
        match scheme {
            "hf" => Self::parse_hub(rest).map_err(reject),
            "https" | "http" => {
                let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                if host.is_empty() {
                    return Err(reject("the URL has no host"));
                }
                if text.contains(char::is_whitespace) {
                    return Err(reject("a URL cannot contain spaces (write %20)"));
                }
                Ok(Self::Url(text.to_owned()))
            }
            _ => Err(reject("its scheme is not supported")),
        }
    }

    /// Parses the text after `hf://`.
    fn parse_hub(rest: &str) -> Result<Self, &'static str> {
        let mut fields = rest.splitn(3, '/');
        let (owner, name, path) = (fields.next(), fields.next(), fields.next());
        let (Some(owner), Some(name), Some(path)) = (owner, name, path) else {
            return Err("it lacks the owner, the repository or the file");
        };
        let (file, revision) = match path.split_once('@') {
            Some((file, revision)) => (file, Some(revision)),
            None => (path, None),
        };
        // The characters that the Hub allows in names of owners and repositories.
        let is_name = |name: &str| {
            !matches!(name, "" | "." | "..")
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        if !is_name(owner) || !is_name(name) {
            return Err("owner and repository may contain only letters, digits, `-`, `_` and `.`");
        }
        // Both become paths in the cache and must not lead out of it.
        let stays_inside = |path: &str| {
            path.split('/').all(|name| !matches!(name, "" | "." | ".."))
                && !path.contains(['\\', ':', '@'])
        };
        if !stays_inside(file) {
            return Err("the file's path must not be empty, nor contain `..`, `\\`, `:` or `//`");
        }
        if !revision.is_none_or(stays_inside) {
            return Err("the revision after `@` must be one branch, tag or commit");
        }
        Ok(Self::Hub {
            repo: format!("{owner}/{name}"),
            file: file.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }

    /// The file name extension, without revision, query and fragment.
    pub(crate) fn extension(&self) -> Option<&str> {
        let file = match self {
            Self::Local(path) => path,
            Self::Url(url) => Path::new(url.split(['?', '#']).next().unwrap_or_default()),
            Self::Hub { file, .. } => Path::new(file),
        };
        file.extension()?.to_str()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
            Self::Hub {
                repo,
                file,
                revision,
            } => {
                write!(f, "hf://{repo}/{file}")?;
                revision
                    .iter()
                    .try_for_each(|revision| write!(f, "@{revision}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Location, LocationError> {
        Location::parse(text, "/models")
    }

    #[test]
    fn resolves_relative_paths_against_the_base() {
        assert_eq!(
            parse("../a/b.json").unwrap(),
            Location::Local("/models/../a/b.json".into())
        );
        assert_eq!(
            parse("/etc/b.json").unwrap(),
            Location::Local("/etc/b.json".into())
        );
    }

    #[test]
    fn accepts_slashes_in_a_revision() {
        let location = parse("hf://a/b/c/d.yaml@refs/pr/1").unwrap();
        let expected = Location::Hub {
            repo: "a/b".into(),
            file: "c/d.yaml".into(),
            revision: Some("refs/pr/1".into()),
        };
        assert_eq!(location, expected);
    }

    #[test]
    fn finds_the_extension_without_revision_query_and_fragment() {
        for text in [
            "a/b.json",
            "hf://a/b/c.json@v1.2",
            "https://a.org/b.json?download=true",
            "https://a.org/b.json#c.d",
        ] {
            assert_eq!(parse(text).unwrap().extension(), Some("json"), "{text}");
        }
        assert_eq!(parse("hf://a/b/c@v1.json").unwrap().extension(), None);
    }

    #[test]
    fn rejects_invalid_locations_with_the_text_and_the_syntax() {
        for text in [
            "",
            "  ",
            "a\0b",
            "hf://",
            "hf://a",
            "hf://a/b",
            "hf://a/b/",
            "hf://a//c",
            "hf://../b/c",
            "hf://a/b/../c",
            "hf://a/b/c@",
            "hf://a/b/c@d@e",
            "hf://a/b/c@../d",
            "hf://a/b/c\\d",
            "hf://a b/c/d",
            "s3://a/b",
            "file:///a",
            "https://",
            "https:///a",
            "https://a/b c",
            "HF://a/b/c",
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{text:?}")), "{message}");
            assert!(
                message.contains("hf://owner/repository/path[@revision]"),
                "{message}"
            );
        }
    }

    proptest! {
        #[test]
        fn display_parses_to_the_same_location(
            text in "(hf|https|http|x)?(://)?[a-z./@:\\\\é]{0,24}"
        ) {
            if let Ok(location) = Location::parse(&text, "/") {
                let again = Location::parse(&location.to_string(), "/");
                prop_assert_eq!(again.unwrap(), location);
            }
        }

        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
