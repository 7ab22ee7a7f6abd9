//! Tests of the program through its command line, files and messages.

mod damage;
mod download;
mod flags;
mod listing;
mod memory;
mod output;
mod profile;
mod support;
mod system_limits;
mod text;
mod voices;
