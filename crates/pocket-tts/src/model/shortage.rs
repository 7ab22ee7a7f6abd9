//! Callbacks of the program for when memory is short.

use std::sync::{Mutex, MutexGuard, PoisonError};

use leak_detect::{Trace, TracedFn};

use super::TtsModel;

/// The callbacks of one model.
#[derive(Default, Trace)]
pub(super) struct ShortageCallbacks {
    callbacks: Mutex<Vec<TracedFn<()>>>,
}

impl ShortageCallbacks {
    fn add(&self, callback: TracedFn<()>) {
        self.lock().push(callback);
    }

    /// Calls all callbacks without holding the lock.
    pub(super) fn call(&self) {
        let callbacks = self.lock().clone();
        for callback in callbacks {
            callback.call(&());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<TracedFn<()>>> {
        self.callbacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl TtsModel {
    /// Adds a callback that is called when memory is short: before work is refused, and before running
    /// speech ends early. It should free memory that the program can do without, such as a cache. It
    /// runs on the thread that needs the memory. A plan does not include what it frees.
    ///
    /// The model owns the callback until the model is dropped. The state of a
    /// [`TracedFn`](crate::memory::TracedFn) is traced, so if it owns the model, the
    /// [detector](crate::memory::get_cycle_detector) finds the cycle and can break it. A state that needs
    /// the model should hold a `Weak<TtsModel>`.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// use std::sync::{Arc, Mutex};
    /// use pocket_tts::TtsModel;
    /// use pocket_tts::memory::TracedFn;
    ///
    /// let model = TtsModel::builtin()?;
    /// let phrases: Arc<Mutex<Vec<f32>>> = Arc::default();
    /// model.on_memory_shortage(TracedFn::new(Arc::clone(&phrases), |phrases, ()| {
    ///     phrases.lock().unwrap().clear();
    /// }));
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    pub fn on_memory_shortage(&self, callback: TracedFn<()>) {
        self.shared.shortage.add(callback);
    }
}
