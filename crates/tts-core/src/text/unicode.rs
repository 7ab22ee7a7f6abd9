//! Character classes as defined by Python's `str` methods.
//!
//! The results of the reference, a Python program, depend on these classes.

/// The characters whose Unicode property `Numeric_Type` is `Decimal` or `Digit`, for which Python's
/// `str.isdigit` holds. They include superscripts and circled digits. Inclusive ranges, from
/// `extracted/DerivedNumericType.txt` of Unicode 14, the version of Python 3.11, which the reference uses.
const DIGIT_RANGES: [(char, char); 81] = [
    ('\u{30}', '\u{39}'),
    ('\u{B2}', '\u{B3}'),
    ('\u{B9}', '\u{B9}'),
    ('\u{660}', '\u{669}'),
    ('\u{6F0}', '\u{6F9}'),
    ('\u{7C0}', '\u{7C9}'),
    ('\u{966}', '\u{96F}'),
    ('\u{9E6}', '\u{9EF}'),
    ('\u{A66}', '\u{A6F}'),
    ('\u{AE6}', '\u{AEF}'),
    ('\u{B66}', '\u{B6F}'),
    ('\u{BE6}', '\u{BEF}'),
    ('\u{C66}', '\u{C6F}'),
    ('\u{CE6}', '\u{CEF}'),
    ('\u{D66}', '\u{D6F}'),
    ('\u{DE6}', '\u{DEF}'),
    ('\u{E50}', '\u{E59}'),
    ('\u{ED0}', '\u{ED9}'),
    ('\u{F20}', '\u{F29}'),
    ('\u{1040}', '\u{1049}'),
    ('\u{1090}', '\u{1099}'),
    ('\u{1369}', '\u{1371}'),
    ('\u{17E0}', '\u{17E9}'),
    ('\u{1810}', '\u{1819}'),
    ('\u{1946}', '\u{194F}'),
    ('\u{19D0}', '\u{19DA}'),
    ('\u{1A80}', '\u{1A89}'),
    ('\u{1A90}', '\u{1A99}'),
    ('\u{1B50}', '\u{1B59}'),
    ('\u{1BB0}', '\u{1BB9}'),
    ('\u{1C40}', '\u{1C49}'),
    ('\u{1C50}', '\u{1C59}'),
    ('\u{2070}', '\u{2070}'),
    ('\u{2074}', '\u{2079}'),
    ('\u{2080}', '\u{2089}'),
    ('\u{2460}', '\u{2468}'),
    ('\u{2474}', '\u{247C}'),
    ('\u{2488}', '\u{2490}'),
    ('\u{24EA}', '\u{24EA}'),
    ('\u{24F5}', '\u{24FD}'),
    ('\u{24FF}', '\u{24FF}'),
    ('\u{2776}', '\u{277E}'),
    ('\u{2780}', '\u{2788}'),
    ('\u{278A}', '\u{2792}'),
    ('\u{A620}', '\u{A629}'),
    ('\u{A8D0}', '\u{A8D9}'),
    ('\u{A900}', '\u{A909}'),
    ('\u{A9D0}', '\u{A9D9}'),
    ('\u{A9F0}', '\u{A9F9}'),
    ('\u{AA50}', '\u{AA59}'),
    ('\u{ABF0}', '\u{ABF9}'),
    ('\u{FF10}', '\u{FF19}'),
    ('\u{104A0}', '\u{104A9}'),
    ('\u{10A40}', '\u{10A43}'),
    ('\u{10D30}', '\u{10D39}'),
    ('\u{10E60}', '\u{10E68}'),
    ('\u{11052}', '\u{1105A}'),
    ('\u{11066}', '\u{1106F}'),
    ('\u{110F0}', '\u{110F9}'),
    ('\u{11136}', '\u{1113F}'),
    ('\u{111D0}', '\u{111D9}'),
    ('\u{112F0}', '\u{112F9}'),
    ('\u{11450}', '\u{11459}'),
    ('\u{114D0}', '\u{114D9}'),
    ('\u{11650}', '\u{11659}'),
    ('\u{116C0}', '\u{116C9}'),
    ('\u{11730}', '\u{11739}'),
    ('\u{118E0}', '\u{118E9}'),
    ('\u{11950}', '\u{11959}'),
    ('\u{11C50}', '\u{11C59}'),
    ('\u{11D50}', '\u{11D59}'),
    ('\u{11DA0}', '\u{11DA9}'),
    ('\u{16A60}', '\u{16A69}'),
    ('\u{16AC0}', '\u{16AC9}'),
    ('\u{16B50}', '\u{16B59}'),
    ('\u{1D7CE}', '\u{1D7FF}'),
    ('\u{1E140}', '\u{1E149}'),
    ('\u{1E2F0}', '\u{1E2F9}'),
    ('\u{1E950}', '\u{1E959}'),
    ('\u{1F100}', '\u{1F10A}'),
    ('\u{1FBF0}', '\u{1FBF9}'),
];

/// Whether Python's `str.isspace` holds: for Unicode's `White_Space`, and for the four separators U+001C
/// to U+001F, which are not whitespace in Rust.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&c)
}

/// Whether Python's `str.isdigit` holds.
pub(super) fn is_digit(c: char) -> bool {
    let after = DIGIT_RANGES.partition_point(|&(first, _)| first <= c);
    after > 0 && c <= DIGIT_RANGES[after - 1].1
}

/// Python's `str.strip` without arguments.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Python's `str.split` without arguments.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_chars() -> impl Iterator<Item = char> {
        '\0'..=char::MAX
    }

    #[test]
    fn counts_of_digits_and_spaces_match_python_3_11() {
        assert_eq!(all_chars().filter(|&c| is_digit(c)).count(), 788);
        assert_eq!(all_chars().filter(|&c| is_space(c)).count(), 29);
    }

    #[test]
    fn digits_include_superscripts_but_not_fractions_or_roman_numerals() {
        for c in "0 9 \u{0665} \u{b2} \u{2460} \u{1d7ff}"
            .split(' ')
            .flat_map(str::chars)
        {
            assert!(is_digit(c), "{c:?}");
        }
        for c in "a \u{bd} \u{2167} \u{4e00} ."
            .split(' ')
            .flat_map(str::chars)
        {
            assert!(!is_digit(c), "{c:?}");
        }
    }

    #[test]
    fn information_separators_are_whitespace() {
        assert_eq!(strip("\u{1c}\u{1f} a\u{1d}b \u{85}"), "a\u{1d}b");
        assert_eq!(words("a\u{1d}b  c ").collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
