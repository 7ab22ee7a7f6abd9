//! Texts and files that are no configs, and random changes to one that is.

use std::fs;
use std::path::Path;
use std::time::Instant;

use proptest::prelude::*;
use tts_core::config::Config;
use tts_core::error::Result;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn parse(yaml: &str) -> Result<Config> {
    Config::parse(yaml, Path::new("my.yaml"))
}

/// A config that is valid and has aliases.
fn fixture_text() -> String {
    fs::read_to_string(format!("{FIXTURES}/parity/small_pointwise/config.yaml")).unwrap()
}

#[test]
fn a_text_that_is_no_config_is_refused_with_its_line_and_what_is_wrong() {
    for (yaml, expected) in [
        ("", "my.yaml: is empty"),
        ("\u{feff}", "is empty"),
        ("# nothing\n", "is empty"),
        ("hello", "my.yaml:1: hello stands where a config starts"),
        ("- 1\n- 2\n", "my.yaml:1: [1, 2] stands where"),
        ("~", "my.yaml:1: empty stands where"),
        ("mimi: {\n", "no valid YAML"),
        ("mimi:\n\tdtype: float32\n", "my.yaml:2: no valid YAML"),
        (
            "a: 1\nmimi: 1\nmimi: 2\n",
            "my.yaml:3: the key `mimi` is given twice",
        ),
        ("a: 1\n---\nb: 1\n", "my.yaml:3: a second document"),
        ("mimi: *nowhere\n", "no valid YAML"),
        (
            "mimi: &a [*a]\n",
            "an alias stands inside of what it refers to",
        ),
        (
            "mimi: !!python/object:os.system x\n",
            "my.yaml:1: a YAML tag",
        ),
        (
            "? [a]\n: 1\n",
            "my.yaml:1: a list or section stands where a key is expected",
        ),
    ] {
        let text = parse(yaml).unwrap_err().to_string();
        assert!(
            text.contains(expected),
            "{yaml:?}: {text}\n  lacks {expected}"
        );
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert!(parse(&format!("\u{feff}{}", fixture_text())).is_ok());
}

#[test]
fn bombs_and_floods_are_refused_at_once() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x]\n");
    for (this, last) in ('b'..='z').zip('a'..='y') {
        bomb += &format!(
            "{this}: &{this} [*{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}]\n"
        );
    }
    let nested =
        |open: &str, close: &str| format!("mimi: {}{}", open.repeat(9000), close.repeat(9000));
    let many: String = (0..9000).map(|i| format!("k{i}: 1\n")).collect();
    let anchors: String = (0..6000).map(|_| "- &a x\n- *a\n").collect();
    let block: String = (0..200)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    for yaml in [
        bomb,
        nested("[", "]"),
        nested("{a: ", "}"),
        nested("[", ""),
        nested("- ", ""),
        nested("? ", ""),
        many,
        anchors,
        block,
        "x".repeat(60_000),
        "\"".repeat(60_001),
        "&a ".repeat(20_000),
        "!".repeat(60_000),
        "a: |\n".repeat(10_000),
        "#\n".repeat(30_000) + "%",
    ] {
        let start = Instant::now();
        let error = parse(&yaml).unwrap_err().to_string();
        assert!(error.len() < 2000, "{} bytes of message", error.len());
        assert!(
            start.elapsed().as_secs() < 5,
            "{:?} for {:?}…",
            start.elapsed(),
            &yaml[..20]
        );
    }
}

#[test]
fn files_that_cannot_be_a_config_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.yaml");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Config::read(&path).unwrap_err().to_string()
    };
    let latin = read(b"a: \xe9\n");
    assert!(latin.contains("c.yaml: byte 4 is no UTF-8"), "{latin}");
    assert!(read(b"").contains("c.yaml: is empty"));
    let nul = read(b"a: \0\n");
    assert!(nul.contains("c.yaml"), "{nul}");
    // A hole of 100 MiB: no more of it than the limit may be read.
    fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let start = Instant::now();
    let large = Config::read(&path).unwrap_err().to_string();
    assert!(large.contains("c.yaml: is larger than 64 KiB"), "{large}");
    assert!(start.elapsed().as_millis() < 500);
    for missing in [folder.path().join("none.yaml"), folder.path().to_owned()] {
        let text = Config::read(&missing).unwrap_err().to_string();
        assert!(
            text.starts_with(&format!(
                "cannot read the config file {}: ",
                missing.display()
            )),
            "{text}"
        );
    }
}
proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_mutation_of_a_valid_config_panics(
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), 0usize..12, "[-\\[\\]{}:,&*!|>'\"#%@`~ \t\n0-9a-zé.]{0,6}"),
            1..6,
        ),
    ) {
        let mut chars: Vec<char> = fixture_text().chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + removed).min(chars.len());
            chars.splice(at..end, inserted.chars());
        }
        let text: String = chars.into_iter().collect();
        if let Ok(config) = parse(&text) {
            prop_assert!(config.validate(Path::new("again")).is_ok());
            prop_assert!(config.mimi.steps_per_frame() >= 2);
            prop_assert!(config.flow_lm.transformer.head_dim() >= 2);
        }
    }

    #[test]
    fn no_number_in_place_of_another_panics_or_overflows(which in any::<prop::sample::Index>(), value in prop_oneof![any::<u64>(), 0u64..200, Just(1 << 20)]) {
        let text = fixture_text();
        let numbers: Vec<_> = text.lines().enumerate()
            .filter(|(_, line)| line.trim_end().ends_with(|c: char| c.is_ascii_digit()) && !line.contains("&id") && !line.contains("*id"))
            .map(|(number, _)| number).collect();
        let chosen = numbers[which.index(numbers.len())];
        let changed: String = text.lines().enumerate().map(|(number, line)| {
            let start = line.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
            if number == chosen && start.len() < line.len() { format!("{start}{value}\n") } else { format!("{line}\n") }
        }).collect();
        if let Ok(config) = parse(&changed) {
            let (mimi, backbone) = (&config.mimi, &config.flow_lm.transformer);
            prop_assert_eq!(mimi.frame_samples(), mimi.steps_per_frame() * mimi.seanet.hop_length());
            prop_assert!(backbone.feed_forward_width() <= 1 << 20);
            prop_assert_eq!(backbone.head_dim() * backbone.num_heads, backbone.attention_width());
        }
    }

    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = parse(&text);
    }
}
