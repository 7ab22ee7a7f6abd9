//! A server that shares 64 MiB between its requests and a cache that releases memory when requests
//! need it.
//!
//! `cargo run --example budget`

use std::sync::{Arc, Mutex};

use tensor_pool::{Budget, OverBudget};

fn main() -> Result<(), OverBudget> {
    let process = Budget::new("process", Some(64 << 20));
    let _model = process.reserve(30 << 20, "model")?;

    // The cache reserves its bytes in the same budget, and releases an entry when another
    // reservation does not fit.
    let cache = Arc::new(Mutex::new(vec![process.reserve(12 << 20, "cache")?]));
    let reclaimed = Arc::clone(&cache);
    let _handle = process.add_reclaimer(0, move |missing| {
        println!("cache: {missing} bytes missing, dropping an entry");
        reclaimed.lock().unwrap().pop();
    });

    // Each request is limited to 24 MiB. All requests together are limited to the available bytes
    // of the process.
    let mut requests = Vec::new();
    for number in 1.. {
        let request = process.child(format!("request {number}"), Some(24 << 20));
        match request.reserve(15 << 20, format!("state of request {number}")) {
            Ok(state) => requests.push(state),
            Err(refused) => {
                println!("{refused}");
                break;
            }
        }
    }
    println!(
        "{} requests admitted, peak {} bytes",
        requests.len(),
        process.peak_bytes()
    );
    for holder in process.holders() {
        println!("  {holder}");
    }
    Ok(())
}
