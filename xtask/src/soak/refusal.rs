//! What a message of the program says about a limit.

/// A limit that the program suggests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Suggestion {
    /// `--memory-limit`, in MB.
    MemoryLimit(u64),
    /// `RLIMIT_AS`, in KiB.
    AddressSpace(u64),
    /// `RLIMIT_DATA`, in KiB.
    Data(u64),
    /// The limit of the control group, in MiB.
    ControlGroup(u64),
}

/// Returns the limit that a refusal suggests; `None` if the message is no refusal.
pub(super) fn suggestion(message: &str) -> Option<Suggestion> {
    type Make = fn(u64) -> Suggestion;
    let forms: [(&str, Make); 4] = [
        ("a limit of ", Suggestion::MemoryLimit),
        ("ulimit -v ", Suggestion::AddressSpace),
        ("ulimit -d ", Suggestion::Data),
        ("control group to ", Suggestion::ControlGroup),
    ];
    let (_, remedy) = message.rsplit_once("too little; ")?;
    forms.into_iter().find_map(|(before, make)| {
        let (_, rest) = remedy.split_once(before)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok().map(make)
    })
}

/// Whether the program was ended by its last resort: the system refused memory or a thread that was not
/// planned. The message names the limits that may be the cause.
pub(super) fn is_last_resort(message: &str) -> bool {
    message.contains("error: ") && message.contains("`ulimit") && suggestion(message).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_suggestion_of_each_limit() {
        for (remedy, expected) in [
            (
                "a limit of 41 MB is sufficient",
                Suggestion::MemoryLimit(41),
            ),
            (
                "raise it with `ulimit -v 90112`",
                Suggestion::AddressSpace(90112),
            ),
            ("raise it with `ulimit -d 7`", Suggestion::Data(7)),
            (
                "raise the limit of the control group to 52 MiB",
                Suggestion::ControlGroup(52),
            ),
        ] {
            let message =
                format!("error: the speech needs up to 9 MiB: 1.0 MiB too little; {remedy}\n");
            assert_eq!(suggestion(&message), Some(expected));
            assert!(!is_last_resort(&message));
        }
        assert_eq!(suggestion("error: a limit of 3 MB"), None);
        assert!(is_last_resort(
            "error: out of memory: raise it (`ulimit -v`)"
        ));
        assert!(!is_last_resort("memory allocation of 3 bytes failed"));
    }
}
