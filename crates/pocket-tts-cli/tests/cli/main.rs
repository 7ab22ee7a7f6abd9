//! The program as its users meet it: through its command line, its files and its messages.

mod damage;
mod download;
mod flags;
mod listing;
mod output;
mod support;
mod text;
mod voices;
