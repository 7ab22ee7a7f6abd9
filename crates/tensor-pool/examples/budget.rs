//! A server that shares 64 MiB between requests, and a cache that gives way to them.
//!
//! `cargo run --example budget`

use std::sync::{Arc, Mutex};

use tensor_pool::{Budget, OverBudget};

fn main() -> Result<(), OverBudget> {
    let process = Budget::new("process", 64 << 20);
    let _model = process.reserve(30 << 20, "model")?;

    // The cache holds its bytes in the budget too, and gives them up when something else needs them.
    let cache = Arc::new(Mutex::new(vec![process.reserve(12 << 20, "cache")?]));
    let asked = Arc::clone(&cache);
    let _handle = process.add_reclaimer(0, move |missing| {
        println!("cache: {missing} missing, dropping an entry");
        asked.lock().unwrap().pop();
    });

    // No request may hold more than 24 MiB, and all together no more than the process has left.
    let mut requests = Vec::new();
    for number in 1.. {
        let request = process.child(format!("request {number}"), 24 << 20);
        match request.reserve(15 << 20, format!("state of request {number}")) {
            Ok(state) => requests.push(state),
            Err(refused) => {
                println!("{refused}");
                break;
            }
        }
    }
    println!(
        "{} requests run, at most {} held",
        requests.len(),
        process.peak_bytes()
    );
    for holder in process.holders() {
        println!("  {holder}");
    }
    Ok(())
}
