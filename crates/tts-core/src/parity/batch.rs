//! Every row of a batch equals the same sequence on its own.

use burn::tensor::Tensor;

use super::compare;
use super::fixture::{Fixture, for_all_models};

/// Frames compared.
const FRAMES: usize = 8;

/// Generates each text in one batch. Returns its latents, end-of-speech logits and audio.
fn generate(fixture: &Fixture, texts: &[Vec<u32>], noise: &[Vec<f32>]) -> Vec<[Vec<f32>; 3]> {
    let engine = &fixture.model.engine;
    let flow_lm = &engine.flow_lm;
    let width = flow_lm.latent_dim();
    let batch = texts.len();
    engine.threads.all().install(|| {
        let times = flow_lm.time_schedule(2);
        let voice = fixture.voice();
        let mut states: Vec<_> = (0..batch)
            .map(|_| {
                flow_lm
                    .state(voice.kv.clone(), &engine.memory)
                    .expect("the pool has memory")
            })
            .collect();
        let mut decoder_state = engine
            .decoder
            .state(batch, &engine.memory)
            .expect("the pool has memory");
        let prompted = states
            .iter_mut()
            .zip(texts)
            .map(|(state, tokens)| flow_lm.prefill(state, tokens).expect("the prompt is valid"));
        let mut condition = Tensor::cat(prompted.collect(), 0);
        let mut outputs = vec![[vec![], vec![], vec![]]; batch];
        for frame in 0..FRAMES {
            let noise = noise
                .iter()
                .flat_map(|row| &row[frame * width..(frame + 1) * width])
                .copied()
                .collect();
            let output = flow_lm
                .sample(condition, noise, &times)
                .expect("sampling succeeds");
            let audio = engine
                .decoder
                .decode(output.latents.clone(), &mut decoder_state)
                .expect("latents decode");
            let samples = audio.len() / batch;
            for (row, output_row) in outputs.iter_mut().enumerate() {
                output_row[0].extend_from_slice(&output.latents[row * width..(row + 1) * width]);
                output_row[1].push(output.eos_logits[row]);
                output_row[2].extend_from_slice(&audio[row * samples..(row + 1) * samples]);
            }
            condition = flow_lm
                .advance(&mut states.iter_mut().collect::<Vec<_>>(), &output.latents)
                .expect("the pool has memory");
        }
        outputs
    })
}

#[test]
fn batch_of_unequal_texts_equals_single_texts() {
    for_all_models(|fixture| {
        let ids = &fixture.golden.prompt_ids;
        let texts: Vec<Vec<u32>> = [ids.len(), 3, 9, 1]
            .map(|count| ids[..count].to_vec())
            .into();
        let width = fixture.model.engine.flow_lm.latent_dim();
        let noise: Vec<Vec<f32>> = (0..4)
            .map(|seed| crate::noise::Noise::new(seed, 0.5, None).sample(FRAMES * width))
            .collect();
        let together = generate(fixture, &texts, &noise);
        for row in 0..4 {
            let alone = generate(fixture, &texts[row..=row], &noise[row..=row]);
            for (output, what) in ["latents", "eos logits", "audio"].into_iter().enumerate() {
                let (together, alone) = (&together[row][output], &alone[0][output]);
                if fixture.device == crate::DeviceKind::Flex {
                    let bits =
                        |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert!(
                        bits(together) == bits(alone),
                        "{} row {row} {what}",
                        fixture.name
                    );
                } else {
                    let what = format!("{} batch row {row} {what}", fixture.name);
                    compare::tensor(&what, fixture.device, together, alone);
                }
            }
        }
    });
}
