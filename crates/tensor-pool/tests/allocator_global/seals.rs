//! Seals, and the reports of requests that missed the pool.

use std::hint::black_box;
use std::thread;

use tensor_pool::{Scope, seal, seal_process};

use crate::{MIB, in_child, install, touched};

#[test]
fn seal_reports_large_requests_of_its_thread_that_missed_the_pool() {
    install();
    // A size in a class that no other test uses.
    let size = 19 * MIB;
    let first = seal();
    let second = seal();
    thread::spawn(|| drop(touched(300 * MIB))).join().unwrap();
    {
        let _outer = Scope::new("decode");
        drop(Scope::new("before"));
        drop(touched(size));
    }
    drop(touched(300 * MIB));
    let report = first.report().unwrap();
    assert_eq!(report.count, 2, "{report}");
    assert_eq!(report.bytes, 319 << 20);
    assert_eq!(
        (report.first[0].size_bytes, report.first[0].scope),
        (19 << 20, Some("decode"))
    );
    assert_eq!(report.first[1].scope, None);
    assert_eq!(
        report.to_string(),
        "2 large requests (319.0 MiB) were not served by the pool: 19.0 MiB in decode, 300.0 MiB"
    );
    drop(first);
    let third = seal();
    drop(touched(size));
    assert!(
        third.report().unwrap().is_empty(),
        "the pool serves the request"
    );
    assert_eq!(
        second.report(),
        Some(report),
        "each seal has its own record"
    );
    for _ in 0..100 {
        // Above the capacity. The pages are not touched.
        drop(black_box(Vec::<u8>::with_capacity(300 * MIB)));
    }
    let report = second.report().unwrap();
    assert_eq!((report.count, report.first.len()), (102, 64));
    assert!(report.to_string().ends_with(", …"));
}

#[test]
fn seal_report_exempts_named_scopes() {
    install();
    let sealed = seal();
    // Above the capacity. The pages are not touched.
    let request = || drop(black_box(Vec::<u8>::with_capacity(300 * MIB)));
    let request_in = |name| {
        let _scope = Scope::new(name);
        request();
    };
    request();
    // More requests than are recorded individually.
    (0..100).for_each(|_| request_in("refill"));
    request_in("decode");
    // The same name at another address.
    request_in(String::leak(String::from("refill")));
    let report = sealed.report().unwrap();
    assert_eq!((report.count, report.bytes), (103, (103 * 300) << 20));
    let sums: Vec<_> = report
        .scopes
        .iter()
        .map(|sum| (sum.scope, sum.count, sum.bytes >> 20))
        .collect();
    assert_eq!(
        sums,
        [
            (None, 1, 300),
            (Some("refill"), 101, 101 * 300),
            (Some("decode"), 1, 300)
        ]
    );
    let rest = report.without(&["refill", "unknown"]);
    assert_eq!(
        (rest.count, rest.bytes, rest.scopes.len()),
        (2, 600 << 20, 2)
    );
    assert!(rest.first.iter().all(|request| request.scope.is_none()));
    assert_eq!(rest.without(&["decode"]).count, 1);
}

#[test]
fn requests_of_more_scopes_than_are_summed_stay_in_the_report() {
    install();
    let names: Vec<&'static str> = (0..40)
        .map(|number| &*String::leak(format!("scope {number}")))
        .collect();
    let sealed = seal();
    for name in &names {
        let _scope = Scope::new(name);
        drop(black_box(Vec::<u8>::with_capacity(300 * MIB)));
    }
    let report = sealed.report().unwrap();
    assert_eq!((report.count, report.scopes.len()), (40, 32));
    assert_eq!(report.without(&names).count, 8);
}

#[test]
fn seal_of_the_process_covers_every_thread() {
    in_child("seals::seal_of_the_process_covers_every_thread", || {
        let own = seal();
        let process = seal_process();
        thread::spawn(|| {
            let _scope = Scope::new("worker");
            drop(touched(3 * MIB));
        })
        .join()
        .unwrap();
        assert!(own.report().unwrap().is_empty());
        let report = process.report().unwrap();
        assert_eq!(report.count, 1, "{report}");
        assert_eq!(report.first[0].scope, Some("worker"));
    });
}
