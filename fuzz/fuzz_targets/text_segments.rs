//! See [`tts_fuzz::text_segments`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tts_fuzz::text_segments(data));
