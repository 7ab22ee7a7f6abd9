//! What was planned is what is taken, at most: measured counted bytes are never over the plan's peak, and
//! the plan is at most 10 % or 4 MiB over them. One test, in a binary of its own, because it counts every
//! byte of the process.

use pocket_tts::memory::{MemoryPlan, PoolAllocator, get_memory_pool};
use pocket_tts::{DeviceKind, GenerateOptions, LoadOptions, ModelSource, TtsModel, Voice};
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
            window.peak().expect("it is installed") + elsewhere.mapped + elsewhere.device;
        let (planned, measured) = (plan.peak_bytes, measured.get());
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

    fn generate(&self, text: &str, options: &GenerateOptions) {
        let plan = self.model.plan_memory(self.voice, text, options).unwrap();
        self.check(&plan, || {
            self.model.generate(self.voice, text, options).unwrap();
        });
    }
}

#[test]
fn a_plan_is_never_exceeded_and_hardly_too_cautious() {
    assert!(ALLOCATOR.install());
    let devices = DeviceKind::ALL.into_iter();
    for device in devices.filter(|device| device.is_built_in() && *device != DeviceKind::Wgpu) {
        let options = LoadOptions {
            device,
            ..LoadOptions::default()
        };
        let model = TtsModel::load(ModelSource::BuiltIn, options).unwrap();
        let voice = model.default_voice().unwrap();
        let chunks = format!("{CHUNK} ").repeat(5);
        for batch_size in [1, 4, 8] {
            for (length, text) in [
                ("one word", WORD),
                ("one chunk", CHUNK),
                ("five chunks", &chunks),
            ] {
                let options = GenerateOptions {
                    seed: Some(1),
                    batch_size: Some(batch_size),
                    ..GenerateOptions::default()
                };
                let case = |how: &str| Case {
                    model: &model,
                    voice: &voice,
                    name: format!("{device}, batch {batch_size}, {length}, {how}"),
                };
                case("streamed").stream(text, &options);
                case("whole").generate(text, &options);
            }
        }
    }
}
