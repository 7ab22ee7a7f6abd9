//! Limits of the operating system.
#![cfg(target_os = "linux")]

use crate::support::{Place, Run, finish};

/// Runs the program in a shell after `ulimit` with these arguments.
fn run_under(place: &Place, limit: &str, arguments: &[&str]) -> Run {
    let line = format!("ulimit {limit} && exec \"$@\"");
    finish(place.shell(&line, arguments).spawn().unwrap())
}

/// The limit that a refusal suggests.
fn suggested(error: &Run, flag: &str) -> String {
    let words = format!("raise it with `ulimit {flag} ");
    let (_, rest) = error.stderr.split_once(&words).expect(&error.stderr);
    rest.split('`').next().unwrap().to_owned()
}

#[test]
fn speech_is_refused_within_resource_limits_and_succeeds_when_they_are_raised_as_suggested() {
    let place = Place::new();
    for (flag, name) in [("-v", "RLIMIT_AS of "), ("-d", "RLIMIT_DATA of ")] {
        let mut limit = "100000".to_owned();
        if flag == "-d" {
            limit = "20000".to_owned();
        }
        // Loading and generating are checked one after the other, so there are at most two messages.
        let mut messages = 0;
        loop {
            let run = run_under(
                &place,
                &format!("{flag} {limit}"),
                &["generate", "Hi.", "-q"],
            );
            if run.code == 0 {
                break;
            }
            let error = run.fails(&[name, "too little"]);
            limit = suggested(&error, flag);
            messages += 1;
            assert!(messages <= 2, "{}", error.stderr);
        }
        assert!(messages > 0, "{flag} {limit} is no refusal");
    }
}

#[test]
fn lower_limit_of_the_user_wins() {
    let place = Place::new();
    let arguments = ["generate", "Hi.", "--memory-limit", "5"];
    let error = run_under(&place, "-d 200000", &arguments).fails(&["the limit is 5.0 MiB:"]);
    assert!(
        error.stderr.contains(" MB is sufficient"),
        "{}",
        error.stderr
    );
    assert!(!error.stderr.contains("RLIMIT"), "{}", error.stderr);
}

#[test]
fn allocation_that_the_system_refuses_ends_the_program_with_a_message() {
    let place = Place::new();
    place.write("long.txt", "Hello there, ".repeat(400_000));
    // Enough to start, but not for the text.
    let run = run_under(&place, "-d 6000", &["generate", "--file", "long.txt"]);
    run.fails(&["out of memory", "raise the limit"]);
    assert_eq!(place.files(), ["long.txt"]);
}
