//! What was planned is what is taken, at most: measured counted bytes are never over the plan's peak, and
//! the plan is at most 10 % or 4 MiB over them. One test, in a binary of its own, because it counts every
//! byte of the process.

use pocket_tts::memory::{MemoryPlan, PoolAllocator, get_memory_pool};
use pocket_tts::{
    DeviceKind, GenerateOptions, LoadOptions, ModelSource, SpeechRequest, TtsModel, Voice,
};
use tensor_pool::PeakWindow;
use tts_core::memory::counted;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

const WORD: &str = "Hello.";
const CHUNK: &str = "The sun is on a hill and we go to it, for there is a tree, and under the tree a stone that is warm.";

/// How far a plan may be over what is taken.
const OVER_BYTES: u64 = 4 << 20;

struct Case<'a> {
    model: &'a TtsModel,
    voice: &'a Voice,
    name: String,
}

impl Case<'_> {
    fn check(&self, plan: &MemoryPlan, speak: impl FnOnce()) {
        let window = PeakWindow::new();
        speak();
        // Nothing is mapped or on a device but what was before.
        let elsewhere = counted(&get_memory_pool());
        let measured =
            window.peak_bytes().expect("it is installed") + elsewhere.mapped + elsewhere.device;
        let planned = plan.peak_bytes;
        let over = planned as i64 - measured as i64;
        println!(
            "{}: planned {planned}, measured {measured}, over by {:.2} MiB",
            self.name,
            over as f64 / f64::from(1 << 20)
        );
        assert!(
            over >= 0,
            "{}: more was taken than planned\n{plan}",
            self.name
        );
        let allowed = OVER_BYTES.max(measured / 10);
        assert!(
            over as u64 <= allowed,
            "{}: the plan is too cautious\n{plan}",
            self.name
        );
    }

    fn stream(&self, text: &str, options: &GenerateOptions) {
        let plan = self
            .model
            .plan_stream_memory(self.voice, text, options)
            .unwrap();
        self.check(&plan, || {
            for chunk in self.model.stream(self.voice, text, options).unwrap() {
                chunk.unwrap();
            }
        });
    }

    /// As many of the text as are spoken at once.
    fn batch(&self, text: &str, options: &GenerateOptions) {
        let requests = vec![
            SpeechRequest {
                voice: self.voice.clone(),
                text: text.to_owned(),
            };
            options.batch_size.unwrap_or(1)
        ];
        let plan = self.model.plan_batch_memory(&requests, options).unwrap();
        self.check(&plan, || {
            self.model.generate_batch(&requests, options).unwrap();
        });
    }
}

fn load(device: DeviceKind) -> (TtsModel, Voice) {
    let options = LoadOptions {
        device,
        ..LoadOptions::default()
    };
    let model = TtsModel::load(ModelSource::BuiltIn, options).unwrap();
    let voice = model.default_voice().unwrap();
    (model, voice)
}

#[test]
fn a_plan_is_never_exceeded_and_hardly_too_cautious() {
    assert!(ALLOCATOR.install());
    let chunks = format!("{CHUNK} ").repeat(5);
    for device in [DeviceKind::Flex, DeviceKind::NdArray] {
        if !device.is_built_in() {
            continue;
        }
        let (model, voice) = load(device);
        let case = |name: String| Case {
            model: &model,
            voice: &voice,
            name: format!("{device}, {name}"),
        };
        let lengths = [
            ("one word", WORD),
            ("one chunk", CHUNK),
            ("five chunks", &*chunks),
        ];
        for (index, batch_size) in [1, 4, 8].into_iter().enumerate() {
            let options = GenerateOptions {
                seed: Some(1),
                batch_size: Some(batch_size),
                ..GenerateOptions::default()
            };
            for (length, (name, text)) in lengths.into_iter().enumerate() {
                // The other device takes minutes for what this one does in seconds.
                if device != DeviceKind::Flex && index != length {
                    continue;
                }
                if text.len() <= CHUNK.len() || batch_size == 1 {
                    case(format!("batch {batch_size}, {name}")).batch(text, &options);
                }
                case(format!("stream, {batch_size} at once, {name}")).stream(text, &options);
            }
        }
        if device == DeviceKind::Flex {
            let ten_minutes = format!("{CHUNK} ").repeat(100);
            let options = GenerateOptions {
                seed: Some(1),
                ..GenerateOptions::default()
            };
            case("ten minutes".to_owned()).batch(&ten_minutes, &options);
        }
    }
}
