//! See [`tts_fuzz::safetensors_header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tts_fuzz::safetensors_header(data));
