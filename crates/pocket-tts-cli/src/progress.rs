//! Progress bars on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pocket_tts::Progress;

/// The progress of speech generation. Nothing is drawn if standard error is not a terminal.
pub(crate) struct SpeechBar {
    bar: ProgressBar,
    frame: Duration,
}

impl SpeechBar {
    /// Creates a bar. `frame` is the duration of one frame.
    pub(crate) fn new(quiet: bool, frame: Duration) -> Self {
        Self {
            bar: bar(quiet, "{bar:30} {msg}"),
            frame,
        }
    }

    pub(crate) fn update(&self, progress: Progress, elapsed: Duration) {
        let seconds = self.frame.as_secs_f64() * progress.frames as f64;
        self.bar.set_length(progress.max_frames as u64);
        self.bar.set_message(format!(
            "{seconds:.1} s of audio, {:.1} x real time",
            seconds / elapsed.as_secs_f64()
        ));
        self.bar.set_position(progress.frames as u64);
    }
}

impl Drop for SpeechBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn bar(quiet: bool, template: &str) -> ProgressBar {
    let target = match quiet {
        true => ProgressDrawTarget::hidden(),
        // Draws on terminals only.
        false => ProgressDrawTarget::stderr(),
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(0), target).with_style(style)
}

#[cfg(feature = "hub")]
pub(crate) use download::DownloadBar;

#[cfg(feature = "hub")]
mod download {
    use std::io::{self, Write};
    use std::sync::{Mutex, PoisonError};

    use indicatif::ProgressBar;
    use pocket_tts::memory::{Trace, Tracer};
    use pocket_tts::{Location, hub};

    /// The progress of downloads. If standard error is not a terminal, each file is printed once.
    pub(crate) struct DownloadBar {
        bar: ProgressBar,
        current: Mutex<Option<Location>>,
    }

    impl DownloadBar {
        pub(crate) fn new() -> Self {
            Self {
                bar: super::bar(
                    false,
                    "{msg}\n{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}",
                ),
                current: Mutex::new(None),
            }
        }
    }

    impl hub::Progress for DownloadBar {
        fn downloading(&self, location: &Location, bytes: u64, total: Option<u64>) {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if current.as_ref() != Some(location) {
                *current = Some(location.clone());
                self.bar.reset();
                self.bar.set_message(format!("downloading {location}"));
                if self.bar.is_hidden() {
                    let _ = writeln!(io::stderr(), "downloading {location}");
                }
            }
            // An unknown length is displayed as the downloaded length.
            self.bar.set_length(total.unwrap_or(bytes));
            self.bar.set_position(bytes);
        }

        fn downloaded(&self, _: &Location) {
            self.bar.finish_and_clear();
        }
    }

    /// Owns no `Arc` that leads to a model.
    impl Trace for DownloadBar {
        fn trace<'a>(&'a self, _: &mut Tracer<'a>) {}
    }
}
