//! Predictions: measured counted bytes never exceed the plan's peak, and the plan exceeds them by at most
//! 10 % or 4 MiB. One test in a binary of its own, because it counts every byte of the process.

use pocket_tts::memory::{MemoryPlan, PoolAllocator, get_memory_ledger};
use pocket_tts::{DeviceKind, GenerateOptions, LoadOptions, ModelSource, TtsModel, Voice};
use tensor_pool::PeakWindow;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

const WORD: &str = "Hello.";
const SEGMENT: &str = "The sun is on a hill and we go to it, for there is a tree, and under the tree a stone that is warm.";

/// Largest accepted difference between the planned and the measured peak.
const SLACK_BYTES: u64 = 4 << 20;

struct Case<'a> {
    model: &'a TtsModel,
    voice: &'a Voice,
    name: String,
}

impl Case<'_> {
    fn check(&self, plan: &MemoryPlan, speak: impl FnOnce()) {
        let window = PeakWindow::new();
        speak();
        // Speech maps no files and takes no device memory.
        let elsewhere = get_memory_ledger().counted();
        let measured = window.peak_bytes().expect("the allocator is installed")
            + elsewhere.mapped_bytes
            + elsewhere.device_bytes;
        let (planned, measured) = (plan.peak_bytes, measured);
        let over = planned as i64 - measured as i64;
        println!(
            "{}: planned {planned}, measured {measured}, over by {:.2} MiB",
            self.name,
            over as f64 / f64::from(1 << 20)
        );
        assert!(over >= 0, "{}: the plan was exceeded\n{plan}", self.name);
        let allowed = SLACK_BYTES.max(measured / 10);
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

    /// Speaks the text once per sequence of the batch.
    fn batch(&self, text: &str, options: &GenerateOptions) {
        let request = self.model.request(self.voice, text, options).unwrap();
        let requests = vec![request; options.batch_size.unwrap_or(1)];
        let plan = self.model.plan_batch_memory(&requests).unwrap();
        self.check(&plan, || {
            self.model.generate_batch(requests).unwrap();
        });
    }
}

fn load(device: DeviceKind) -> (TtsModel, Voice) {
    let options = LoadOptions::default().with_device(device);
    let model = TtsModel::load(ModelSource::BuiltIn, options).unwrap();
    let voice = model.default_voice().unwrap();
    (model, voice)
}

#[test]
fn plans_are_tight_upper_bounds() {
    assert!(ALLOCATOR.install());
    let five_segments = format!("{SEGMENT} ").repeat(5);
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
            ("one segment", SEGMENT),
            ("five segments", &*five_segments),
        ];
        for (index, batch_size) in [1, 4, 8].into_iter().enumerate() {
            let options = GenerateOptions::default()
                .with_seed(1)
                .with_batch_size(batch_size);
            for (length, (name, text)) in lengths.into_iter().enumerate() {
                // The ndarray device is too slow for all cases.
                if device != DeviceKind::Flex && index != length {
                    continue;
                }
                if text.len() <= SEGMENT.len() || batch_size == 1 {
                    case(format!("batch {batch_size}, {name}")).batch(text, &options);
                }
                case(format!("stream, batch {batch_size}, {name}")).stream(text, &options);
            }
        }
        if device == DeviceKind::Flex {
            let ten_minutes = format!("{SEGMENT} ").repeat(100);
            let options = GenerateOptions::default().with_seed(1);
            case("ten minutes".to_owned()).batch(&ten_minutes, &options);
        }
    }
}
