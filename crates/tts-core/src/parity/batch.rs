//! A batch speaks as its rows would alone.

use burn::tensor::Tensor;

use super::compare;
use super::fixture::{Fixture, everywhere};

/// Frames compared.
const FRAMES: usize = 8;

/// Latents, end-of-speech logits and audio of each text.
fn speak(fixture: &Fixture, texts: &[Vec<u32>], noise: &[Vec<f32>]) -> Vec<[Vec<f32>; 3]> {
    let shared = &fixture.model.engine;
    let flow_lm = &shared.flow_lm;
    let width = flow_lm.latent_dim();
    let batch = texts.len();
    shared.threads.all().install(|| {
        let times = flow_lm.time_schedule(2);
        let voice = fixture.voice();
        let mut states: Vec<_> = (0..batch)
            .map(|_| {
                flow_lm
                    .state(voice.kv.clone(), &shared.memory)
                    .expect("there is memory")
            })
            .collect();
        let mut decoding = shared
            .decoder
            .state(batch, &shared.memory)
            .expect("there is memory");
        let prompted = states
            .iter_mut()
            .zip(texts)
            .map(|(state, tokens)| flow_lm.prefill(state, tokens).expect("the prompt is valid"));
        let mut condition = Tensor::cat(prompted.collect(), 0);
        let mut spoken = vec![[vec![], vec![], vec![]]; batch];
        for frame in 0..FRAMES {
            let noise = noise
                .iter()
                .flat_map(|row| &row[frame * width..(frame + 1) * width])
                .copied()
                .collect();
            let output = flow_lm
                .sample(condition, noise, &times)
                .expect("latents are drawn");
            let audio = shared
                .decoder
                .decode(output.latents.clone(), &mut decoding)
                .expect("latents decode");
            let samples = audio.len() / batch;
            for (row, spoken) in spoken.iter_mut().enumerate() {
                spoken[0].extend_from_slice(&output.latents[row * width..(row + 1) * width]);
                spoken[1].push(output.eos_logits[row]);
                spoken[2].extend_from_slice(&audio[row * samples..(row + 1) * samples]);
            }
            condition = flow_lm
                .advance(&mut states.iter_mut().collect::<Vec<_>>(), &output.latents)
                .expect("there is memory");
        }
        spoken
    })
}

#[test]
fn four_texts_of_unequal_length_equal_four_singles() {
    everywhere(|fixture| {
        let ids = &fixture.golden.prompt_ids;
        let texts: Vec<Vec<u32>> = [ids.len(), 3, 9, 1]
            .map(|count| ids[..count].to_vec())
            .into();
        let width = fixture.model.engine.flow_lm.latent_dim();
        let noise: Vec<Vec<f32>> = (0..4)
            .map(|seed| crate::noise::Noise::new(seed, 0.5, None).sample(FRAMES * width))
            .collect();
        let together = speak(fixture, &texts, &noise);
        for row in 0..4 {
            let alone = speak(fixture, &texts[row..=row], &noise[row..=row]);
            for (part, what) in ["latents", "eos logits", "audio"].into_iter().enumerate() {
                let (together, alone) = (&together[row][part], &alone[0][part]);
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
