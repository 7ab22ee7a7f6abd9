//! See [`tts_fuzz::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tts_fuzz::config(data));
