#![doc = include_str!("../../docs/memory-crates.md")]
