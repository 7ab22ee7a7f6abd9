//! Graphs of leaked objects in the DOT language.

use std::fmt::Write;

use super::{CycleReport, ObjectStatus, short};

pub(super) fn write(report: &CycleReport) -> String {
    let mut out = String::from("digraph leaks {\n  node [shape=box, fontname=\"sans-serif\"];\n");
    for (number, cycle) in report.cycles().iter().enumerate() {
        line(&mut out, 2, format_args!("subgraph cluster_{number} {{"));
        let label = format!("{} objects, {} bytes", cycle.members.len(), cycle.bytes);
        line(&mut out, 4, format_args!("label={};", quoted(&label)));
        line(&mut out, 4, format_args!("color=red;"));
        for &member in &cycle.members {
            node(&mut out, 4, report, member);
        }
        line(&mut out, 2, format_args!("}}"));
    }
    for (index, object) in report.objects().iter().enumerate() {
        if object.status == ObjectStatus::OwnedByLeakedCycle {
            node(&mut out, 2, report, index);
        }
    }
    for edge in report.ownerships() {
        let label = quoted(&edge.field);
        line(
            &mut out,
            2,
            format_args!("n{} -> n{} [label={label}];", edge.owner, edge.owned),
        );
    }
    out.push_str("}\n");
    out
}

fn node(out: &mut String, indent: usize, report: &CycleReport, index: usize) {
    let object = &report.objects()[index];
    let label = format!(
        "{}\n{:#x}\n{} bytes, {} owners",
        short(object.type_name),
        object.address,
        object.bytes,
        object.strong_count
    );
    line(
        out,
        indent,
        format_args!("n{index} [label={}];", quoted(&label)),
    );
}

fn line(out: &mut String, indent: usize, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{:indent$}{text}", "");
}

fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}
