//! See [`tts_fuzz::wav`].
#![no_main]

use std::panic;

libfuzzer_sys::fuzz_target!(init: tolerate_caught_panics(), |data: &[u8]| tts_fuzz::wav(data));

/// Lets the panics of symphonia's decoders unwind: the library catches them and reports a damaged
/// file. Any other panic ends the fuzzer, even where that catch would hide it.
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
