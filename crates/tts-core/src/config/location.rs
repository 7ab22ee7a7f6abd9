//! Where a file comes from: a local path, a URL, or a file in a Hugging Face repository.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where a file comes from.
///
/// ```
/// # use std::path::Path;
/// use tts_core::config::Location;
/// let location = Location::parse("hf://kyutai/pocket-tts/model.safetensors@main", Path::new("."))?;
/// assert_eq!(
///     location,
///     Location::Hub {
///         repo: "kyutai/pocket-tts".into(),
///         file: "model.safetensors".into(),
///         revision: Some("main".into()),
///     }
/// );
/// assert_eq!(Location::parse("voice.wav", Path::new("models"))?.to_string(), "models/voice.wav");
/// # Ok::<(), tts_core::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A file on this machine.
    Local(PathBuf),
    /// An `https://` or `http://` URL. Both are taken, as the reference takes both: a server on the
    /// local network seldom has a certificate, and every file read from here is data that its
    /// loader checks, never code.
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

impl Location {
    /// Reads a location; a relative local path is taken relative to `base`.
    ///
    /// # Errors
    /// [`Error::Location`] for an empty text, another scheme than `https`, `http` or `hf`, and
    /// an address of which a part is missing or would lead out of its repository.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        let refuse = |problem| Error::Location {
            location: text.to_owned(),
            problem,
        };
        if text.trim().is_empty() {
            return Err(refuse("it is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(refuse("it contains a control character"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Local(base.join(text)));
        };
        match scheme {
            "hf" => Self::parse_hub(rest).map_err(refuse),
            "https" | "http" => {
                let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                if host.is_empty() {
                    return Err(refuse("the URL names no host"));
                }
                if text.contains(char::is_whitespace) {
                    return Err(refuse("a URL holds no spaces (write %20)"));
                }
                Ok(Self::Url(text.to_owned()))
            }
            _ => Err(refuse("its scheme is not known")),
        }
    }

    /// Reads what follows `hf://`.
    fn parse_hub(rest: &str) -> Result<Self, &'static str> {
        let mut parts = rest.splitn(3, '/');
        let (owner, name, path) = (parts.next(), parts.next(), parts.next());
        let (Some(owner), Some(name), Some(path)) = (owner, name, path) else {
            return Err("it lacks the owner, the repository or the file");
        };
        let (file, revision) = match path.split_once('@') {
            Some((file, revision)) => (file, Some(revision)),
            None => (path, None),
        };
        // The letters that the Hub allows in the names of owners and repositories.
        let is_name = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        if !is_name(owner) || !is_name(name) {
            return Err("owner and repository are made of letters, digits, `-`, `_` and `.`");
        }
        // Both become paths in the cache: nothing may lead out of it.
        let stays_inside = |path: &str| {
            path.split('/').all(|part| !matches!(part, "" | "." | ".."))
                && !path.contains(['\\', ':', '@'])
        };
        if !stays_inside(file) {
            return Err("the file's path must not be empty, nor contain `..`, `\\`, `:` or `//`");
        }
        if !revision.is_none_or(stays_inside) {
            return Err("what follows `@` must be one branch, tag or commit");
        }
        Ok(Self::Hub {
            repo: format!("{owner}/{name}"),
            file: file.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }

    /// Path of the file within its repository, machine or host, without revision, query and fragment.
    pub(crate) fn file_path(&self) -> &str {
        match self {
            Self::Local(path) => path.to_str().unwrap_or_default(),
            Self::Url(url) => url.split(['?', '#']).next().unwrap_or_default(),
            Self::Hub { file, .. } => file,
        }
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
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Location> {
        Location::parse(text, Path::new("/models"))
    }

    #[test]
    fn relative_paths_start_at_the_base_and_absolute_ones_stay() {
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
    fn a_revision_may_hold_slashes() {
        let location = parse("hf://a/b/c/d.yaml@refs/pr/1").unwrap();
        let expected = Location::Hub {
            repo: "a/b".into(),
            file: "c/d.yaml".into(),
            revision: Some("refs/pr/1".into()),
        };
        assert_eq!(location, expected);
    }

    #[test]
    fn addresses_that_lack_a_part_or_lead_elsewhere_are_refused_with_the_text_and_the_way_out() {
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
        fn what_parses_is_displayed_so_that_it_parses_to_the_same(text in "(hf|https|http|x)?(://)?[a-z./@:\\\\é]{0,24}") {
            if let Ok(location) = Location::parse(&text, Path::new("/")) {
                prop_assert_eq!(Location::parse(&location.to_string(), Path::new("/")).unwrap(), location);
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
