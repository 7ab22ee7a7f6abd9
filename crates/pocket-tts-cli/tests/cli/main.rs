//! The program as its users meet it: through its command line, its files and its messages.

mod damage;
mod download;
mod flags;
mod listing;
mod memory;
mod output;
mod profile;
mod support;
mod text;
mod voices;
