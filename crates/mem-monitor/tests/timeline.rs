//! Timelines: well-formed, self-contained, complete, without overlapping labels.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use mem_monitor::{
    AlertRule, Backing, Category, Error, HeapCounter, MemoryMonitor, Metric, Quantity,
};
use roxmltree::{Document, Node};
use tracing::{info_span, subscriber::with_default};
use tracing_subscriber::{layer::SubscriberExt, registry::Registry};

/// Returns a monitor with phases, a peak and an alert.
fn eventful(limit: u64) -> MemoryMonitor {
    let live = Arc::new(AtomicU64::new(50 << 20));
    let counter = Arc::clone(&live);
    let monitor = MemoryMonitor::builder()
        .root("/nowhere")
        .heap(HeapCounter::new(move || Some(counter.load(Relaxed))))
        .limit_bytes(Quantity::Heap, limit)
        .alert_rules([AlertRule::usage_above(250 << 20)])
        .build()
        .unwrap();
    let table = Category::new("table", Backing::Heap, || Some(40 << 20));
    monitor.register_category(table).detach();
    let sample = |mib: u64| {
        live.store(mib << 20, Relaxed);
        monitor.sample();
        std::thread::sleep(Duration::from_millis(2));
    };
    with_default(Registry::default().with(monitor.span_layer()), || {
        info_span!("load <file> & more").in_scope(|| (0..10).for_each(|i| sample(50 + i * 10)));
        info_span!("request").in_scope(|| {
            info_span!("parse").in_scope(|| sample(300));
            for i in 0..40 {
                info_span!("item").in_scope(|| sample(160 + i));
            }
        });
    });
    monitor
}

fn texts<'a>(svg: &'a Document<'_>) -> Vec<(Node<'a, 'a>, String)> {
    svg.descendants()
        .filter(|node| node.has_tag_name("text"))
        .map(|node| (node, node.text().unwrap_or_default().trim().to_owned()))
        .collect()
}

#[test]
fn svg_is_well_formed_and_complete() {
    let monitor = eventful(400 << 20);
    let svg = monitor
        .timeline("A <title> & \"more\"")
        .to_svg(1000, 500)
        .unwrap();
    let document = Document::parse(&svg).unwrap();
    let all: Vec<String> = texts(&document).into_iter().map(|(_, text)| text).collect();
    for expected in [
        "A <title> & \"more\"",
        "peak 300.0 MiB",
        "limit 400.0 MiB",
        "live heap",
        "MiB",
        "request",
    ] {
        assert!(
            all.iter().any(|text| text == expected),
            "{expected} is not in {all:?}"
        );
    }
    assert!(all.iter().any(|t| t.starts_with("time in ")));
    assert!(all.iter().any(|t| t.starts_with("item ×")), "{all:?}");
    assert!(
        !all.contains(&"resident set".to_owned()),
        "unknown series have no legend"
    );
}

#[test]
fn texts_are_inside_the_drawing_and_do_not_overlap() {
    for (width, height, limit) in [(1000, 500, 310), (480, 320, 305), (3000, 900, 5000)] {
        let monitor = eventful(limit << 20);
        let svg = monitor.timeline("Title").to_svg(width, height).unwrap();
        let document = Document::parse(&svg).unwrap();
        // The approximate extent of each text.
        let boxes: Vec<(f64, f64, f64, f64, String)> = texts(&document)
            .into_iter()
            .map(|(node, text)| {
                let number = |name: &str| node.attribute(name).unwrap().parse::<f64>().unwrap();
                let (x, y, size) = (number("x"), number("y"), number("font-size"));
                let long = text.chars().count() as f64 * size * 0.5;
                let left = match node.attribute("text-anchor").unwrap() {
                    "start" => x,
                    "end" => x - long,
                    _ => x - long / 2.0,
                };
                (left, left + long, y, y + size * 0.8, text)
            })
            .collect();
        for (i, a) in boxes.iter().enumerate() {
            assert!(a.2 >= 0.0 && a.3 <= f64::from(height), "{a:?}");
            if !a.4.starts_with("from ") {
                assert!(a.0 >= 0.0 && a.1 <= f64::from(width), "{a:?}");
            }
            for b in &boxes[i + 1..] {
                let apart = a.1 <= b.0 || b.1 <= a.0 || a.3 <= b.2 || b.3 <= a.2;
                assert!(apart, "{a:?} and {b:?} at {width} x {height}");
            }
        }
    }
}

#[test]
fn distant_limit_is_named_but_not_drawn() {
    let monitor = eventful(50_000 << 20);
    let svg = monitor.timeline("t").to_svg(800, 400).unwrap();
    assert!(svg.contains("limit 48.8 GiB (configured limit of the live heap)"));
    assert!(
        svg.contains(">\n400\n<") || svg.contains(">\n300\n<"),
        "the axis ends near the peak"
    );
}

#[test]
fn single_sample_and_empty_history_are_drawn() {
    let monitor = MemoryMonitor::builder().root("/nowhere").build().unwrap();
    let svg = monitor.timeline("Empty").to_svg(600, 400).unwrap();
    Document::parse(&svg).unwrap();
    let html = MemoryMonitor::default()
        .timeline("One sample")
        .to_html()
        .unwrap();
    assert!(html.contains("One sample"));
}

#[test]
fn series_can_be_replaced() {
    let monitor = eventful(400 << 20);
    let timeline = monitor
        .timeline("t")
        .series([Metric::HeapPeak, Metric::CgroupCurrent]);
    let svg = timeline.to_svg(800, 400).unwrap();
    let legend = |name: &str| svg.contains(&format!(">\n{name}\n<"));
    assert!(legend("heap peak") && legend("control group") && !legend("live heap"));
}

#[test]
fn rejects_invalid_sizes() {
    let timeline = MemoryMonitor::default().timeline("t");
    for (width, height) in [(0, 0), (479, 400), (600, 319), (9000, 400)] {
        let error = timeline.to_svg(width, height).unwrap_err();
        assert!(
            matches!(error, Error::Draw { .. }) && error.to_string().contains("allowed"),
            "{error}"
        );
    }
}

#[test]
fn page_is_self_contained_and_has_tables_and_data() {
    let monitor = eventful(310 << 20);
    let html = monitor.timeline("</script><b>").to_html().unwrap();
    assert!(!html.contains("<b>"), "names of the program are escaped");
    assert_eq!(html.matches("</script>").count(), 2);
    for address in ["src=", "href=", "@import", "url("] {
        assert!(
            !html.contains(address),
            "{address} loads an external resource"
        );
    }
    for expected in [
        "<h2>Alerts</h2>",
        "<h2>Spans</h2>",
        "<h2>Memory by category at the peak</h2>",
        "<h2>Memory by category at the end</h2>",
        "::item</td>",
        "prefers-color-scheme",
    ] {
        assert!(html.contains(expected), "{expected}");
    }
    let data = html
        .split_once("id=\"data\">")
        .and_then(|(_, rest)| rest.split_once("</script>"))
        .unwrap()
        .0;
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["names"], serde_json::json!(["live heap"]));
    assert_eq!(data["points"].as_array().unwrap().len(), 52);
}
