//! Texts and files that are not configs, and random changes to a valid config.

use std::fs;
use std::time::Instant;

use proptest::prelude::*;
use tts_core::config::{Config, ConfigError};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn parse(yaml: &str) -> Result<Config, ConfigError> {
    Config::parse(yaml, "my.yaml")
}

/// A valid config with aliases.
fn fixture_text() -> String {
    fs::read_to_string(format!("{FIXTURES}/parity/small_pointwise/config.yaml")).unwrap()
}

#[test]
fn rejects_texts_that_are_not_configs_with_the_line_and_the_problem() {
    for (yaml, expected) in [
        ("", "my.yaml: is empty"),
        ("\u{feff}", "is empty"),
        ("# nothing\n", "is empty"),
        (
            "hello",
            "my.yaml:1: found the string \"hello\" where a config has",
        ),
        ("- 1\n- 2\n", "my.yaml:1: found [1, 2] where a config has"),
        ("~", "my.yaml: is empty"),
        ("mimi: {\n", "invalid YAML"),
        ("mimi:\n\tdtype: float32\n", "my.yaml:2: invalid YAML"),
        (
            "a: 1\nmimi: 1\nmimi: 2\n",
            "my.yaml:3: the key `mimi` occurs twice",
        ),
        ("a: 1\n---\nb: 1\n", "my.yaml:3: a second document"),
        ("mimi: *nowhere\n", "invalid YAML"),
        ("mimi: &a [*a]\n", "invalid YAML"),
        (
            "mimi: !!python/object:os.system x\n",
            "my.yaml:1: a config cannot contain the YAML tag",
        ),
        ("? [a]\n: 1\n", "my.yaml:1: "),
    ] {
        let text = parse(yaml).unwrap_err().to_string();
        assert!(
            text.contains(expected),
            "{yaml:?}: {text}\n  lacks {expected}"
        );
    }
}

#[test]
fn skips_a_byte_order_mark() {
    assert!(parse(&format!("\u{feff}{}", fixture_text())).is_ok());
}

#[test]
fn rejects_alias_bombs_and_deep_nesting_quickly() {
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
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.yaml");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Config::read(&path).unwrap_err().to_string()
    };
    let latin = read(b"a: \xe9\n");
    assert!(
        latin.contains("c.yaml: byte 4 is not valid UTF-8"),
        "{latin}"
    );
    assert!(read(b"").contains("c.yaml: is empty"));
    let nul = read(b"a: \0\n");
    assert!(nul.contains("c.yaml"), "{nul}");
    // A sparse file of 100 MiB, of which no more than the limit is read.
    fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let start = Instant::now();
    let large = Config::read(&path).unwrap_err().to_string();
    assert!(large.contains("c.yaml: is larger than 64 KiB"), "{large}");
    assert!(start.elapsed().as_millis() < 500);
    for missing in [folder.path().join("none.yaml"), folder.path().to_owned()] {
        let text = Config::read(&missing).unwrap_err().to_string();
        assert!(
            text.starts_with(&format!(
                "cannot read the config file {}",
                missing.display()
            )),
            "{text}"
        );
    }
}
proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_edit_of_a_valid_config_panics(
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
            prop_assert!(config.validate("again").is_ok());
            prop_assert!(config.mimi.steps_per_frame() >= 2);
            prop_assert!(config.flow_lm.transformer.head_dim() >= 2);
        }
    }

    #[test]
    fn no_other_number_panics_or_overflows(which in any::<prop::sample::Index>(), value in prop_oneof![any::<u64>(), 0u64..200, Just(1 << 20)]) {
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
