//! See [`tts_fuzz::voice_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tts_fuzz::voice_file(data));
