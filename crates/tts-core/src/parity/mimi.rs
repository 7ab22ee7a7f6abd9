//! Mimi: decoded audio and encoded latents.

use burn::tensor::Tensor;

use super::fixture::{for_all_models, recorded};
use crate::cancel::CancelToken;
use crate::ops::vec_from;

/// Samples of SEANet's recorded features.
const SEANET_SAMPLES: usize = 5760;

#[test]
fn decoded_audio_equals_the_reference_for_one_and_many_frames_per_call() {
    for_all_models(|fixture| {
        let latents = fixture.recorded("greedy.latents");
        let engine = &fixture.model.engine;
        let width = engine.flow_lm.latent_dim();
        for (name, frames) in [("mimi.audio_one", 1), ("mimi.audio_many", 5)] {
            let audio: Vec<f32> = engine.threads.all().install(|| {
                let mut state = engine
                    .decoder
                    .state(1, &engine.memory)
                    .expect("the pool has memory");
                latents
                    .chunks(frames * width)
                    .flat_map(|latents| {
                        engine
                            .decoder
                            .decode(latents.to_vec(), &mut state)
                            .expect("latents decode")
                    })
                    .collect()
            });
            fixture.check_audio(name, &audio);
        }
    });
}

#[test]
fn decoding_in_calls_of_any_size_gives_the_same_bits_on_flex() {
    for_all_models(|fixture| {
        if fixture.device != crate::DeviceKind::Flex {
            return;
        }
        let latents = fixture.recorded("greedy.latents");
        let engine = &fixture.model.engine;
        let width = engine.flow_lm.latent_dim();
        let decode = |sizes: &[usize]| -> Vec<u32> {
            engine.threads.all().install(|| {
                let mut state = engine
                    .decoder
                    .state(1, &engine.memory)
                    .expect("the pool has memory");
                let (mut rest, mut audio) = (&latents[..], Vec::new());
                for size in sizes.iter().cycle() {
                    let (now, later) = rest.split_at((size * width).min(rest.len()));
                    let samples = engine.decoder.decode(now.to_vec(), &mut state);
                    audio.extend(
                        samples
                            .expect("latents decode")
                            .into_iter()
                            .map(f32::to_bits),
                    );
                    rest = later;
                    if rest.is_empty() {
                        break;
                    }
                }
                audio
            })
        };
        let one = decode(&[1]);
        assert!(one == decode(&[24]), "{}", fixture.name);
        assert!(one == decode(&[1, 2, 4, 3]), "{}", fixture.name);
    });
}

#[test]
fn encoder_equals_the_reference() {
    let ended = recorded("audio.safetensors", "ended_on_pause");
    let voice = recorded("audio.safetensors", "voice_24k");
    for_all_models(|fixture| {
        let encoder = fixture.model.engine.encoder().expect("the encoder loads");
        let memory = &fixture.model.engine.memory;
        fixture.model.engine.threads.all().install(|| {
            // Recorded as [channel, time].
            let features = encoder
                .features(&voice[..SEANET_SAMPLES], memory)
                .expect("the pool has memory")
                .swap_dims(1, 2);
            fixture.check(
                "mimi.seanet_encoder",
                &vec_from(features).expect("readable"),
            );
            let latents = encoder
                .encode(&ended, memory, &CancelToken::new())
                .expect("the pool has memory");
            fixture.check("mimi.latents", &latents.values);
            let conditioning = Tensor::cat(encoder.conditioning(&latents).collect(), 1);
            fixture.check(
                "voice.conditioning",
                &vec_from(conditioning).expect("readable"),
            );
        });
    });
}
