//! See [`tts_fuzz::wav`].
#![no_main]

use std::panic;

libfuzzer_sys::fuzz_target!(init: tolerate_caught_panics(), |data: &[u8]| tts_fuzz::wav(data));

/// Lets panics in symphonia's decoders unwind: the library catches them and returns an error. Any other panic
/// aborts the fuzzer, even inside that catch.
fn tolerate_caught_panics() {
    let abort = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !panic
            .location()
            .is_some_and(|at| at.file().contains("symphonia"))
        {
            abort(panic);
        }
    }));
}
