//! Mimi: the neural codec between latents and audio (Moshi, Défossez et al., 2024). There is no
//! quantizer, because latents are continuous.

mod decoder;
mod encoder;
mod seanet;
mod transformer;

pub(crate) use decoder::{MimiDecoder, MimiDecoderState};
pub(crate) use encoder::MimiEncoder;
