//! FlowLM: embeddings, backbone, KV cache, end-of-speech logits and latents.

use super::fixture::{Fixture, for_all_models};
use crate::flow_lm::FlowLmState;
use crate::ops::vec_from;

/// Recorded frames.
const FRAMES: usize = 24;

struct Run {
    latents: Vec<f32>,
    eos_logits: Vec<f32>,
    backbone: Vec<f32>,
    state: FlowLmState,
}

/// Generates the recorded number of frames of the recorded prompt, with the given noise.
fn run(fixture: &Fixture, noise: &[f32]) -> Run {
    let engine = &fixture.model.engine;
    let flow_lm = &engine.flow_lm;
    engine.threads.all().install(|| {
        let times = flow_lm.time_schedule(fixture.golden.sampler_decode_steps);
        let mut state = flow_lm
            .state(fixture.voice().kv.clone(), &engine.memory)
            .expect("the pool has memory");
        let mut condition = flow_lm
            .prefill(&mut state, &fixture.golden.prompt_ids)
            .expect("the prompt is valid");
        let (mut latents, mut eos_logits, mut backbone) = (vec![], vec![], vec![]);
        for (frame, noise) in noise.chunks_exact(flow_lm.latent_dim()).enumerate() {
            backbone.extend(vec_from(condition.clone()).expect("readable"));
            let output = flow_lm
                .sample(condition, noise.to_vec(), &times)
                .expect("sampling succeeds");
            eos_logits.extend(&output.eos_logits);
            latents.extend(&output.latents);
            condition = if frame + 1 == FRAMES {
                break;
            } else {
                flow_lm
                    .advance(&mut [&mut state], &output.latents)
                    .expect("the pool has memory")
            };
        }
        Run {
            latents,
            eos_logits,
            backbone,
            state,
        }
    })
}

#[test]
fn text_embeddings_equal_the_reference() {
    for_all_models(|fixture| {
        let engine = &fixture.model.engine;
        let embedded = engine
            .threads
            .all()
            .install(|| engine.flow_lm.embed(&fixture.golden.prompt_ids))
            .expect("tokens embed");
        fixture.check("text.embeddings", &vec_from(embedded).expect("readable"));
    });
}

#[test]
fn greedy_frames_equal_the_reference() {
    for_all_models(|fixture| {
        let no_noise = vec![0.0; FRAMES * fixture.model.engine.flow_lm.latent_dim()];
        let run = run(fixture, &no_noise);
        fixture.check("greedy.backbone", &run.backbone);
        fixture.check("greedy.eos_logits", &run.eos_logits);
        fixture.check("greedy.latents", &run.latents);

        let voice = fixture.voice();
        let pages = run.state.layers()[0]
            .contiguous()
            .expect("the cache has positions");
        let kv = burn::tensor::Tensor::cat(vec![voice.kv.layers[0].clone(), pages], 2);
        assert_eq!(kv.dims()[2], fixture.golden.kv_end, "{}", fixture.name);
        fixture.check("greedy.kv_cache_layer0", &vec_from(kv).expect("readable"));
    });
}

#[test]
fn noisy_frames_equal_the_reference() {
    for_all_models(|fixture| {
        let run = run(fixture, &fixture.recorded("noise"));
        fixture.check("noisy.eos_logits", &run.eos_logits);
        fixture.check("noisy.latents", &run.latents);
    });
}

#[test]
fn max_frames_equal_the_reference() {
    for_all_models(|fixture| {
        let rate = fixture.model.config().mimi.frame_rate;
        assert!(!fixture.golden.max_gen_len.is_empty());
        for (tokens, frames) in &fixture.golden.max_gen_len {
            assert_eq!(crate::text::max_frames(*tokens, rate), *frames);
        }
    });
}
