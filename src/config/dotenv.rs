//! Files of `NAME=value` lines: `config/default.env`, which is compiled in, and `--env-file`.
//! Never touches the process environment and never expands anything: what stands there is what
//! is meant.

use std::sync::LazyLock;

/// The only home of defaults.
const DEFAULT_ENV: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/default.env"));

/// Every variable of `config/default.env` with its default, in the order of the file. A blank
/// value means that the variable exists and is not set by default.
pub(super) static DEFAULTS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let parsed = parse(DEFAULT_ENV);
    debug_assert!(parsed.faults.is_empty(), "config/default.env: {:?}", parsed.faults);
    parsed.vars
});

/// The default of a variable; `None` for one that does not exist or is blank by default.
pub(super) fn default_of(name: &str) -> Option<&'static str> {
    let found = DEFAULTS.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    /// Names and values in the order of the file.
    pub(super) vars: Vec<(String, String)>,
    /// Lines that could not be read: number from 1 and the rule. Never quotes the line, which
    /// may hold a secret.
    pub(super) faults: Vec<(usize, &'static str)>,
}

/// Reads lines of `NAME=value`: blank lines, `#` comments (a comment behind a value needs a
/// space in front), an optional `export`, single quotes (taken as they are), double quotes
/// (`\n`, `\"`, `\$`, `\\`). A name may stand only once.
pub(super) fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        match parse_line(line.trim()) {
            Ok(None) => {}
            Ok(Some((name, _))) if parsed.vars.iter().any(|(known, _)| known == name) => {
                parsed.faults.push((index + 1, "sets a variable that the file has set before"));
            }
            Ok(Some((name, value))) => parsed.vars.push((name.to_owned(), value)),
            Err(rule) => parsed.faults.push((index + 1, rule)),
        }
    }
    parsed
}

fn parse_line(line: &str) -> Result<Option<(&str, String)>, &'static str> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let (name, value) = line.split_once('=').ok_or("is not of the form NAME=value")?;
    let name = name.trim_end();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(word)
    {
        return Err("is not of the form NAME=value, the name of letters, digits and _");
    }
    let value = value.trim_start();
    let value = match value.strip_prefix('\'') {
        Some(rest) => single_quoted(rest)?,
        None => match value.strip_prefix('"') {
            Some(rest) => double_quoted(rest)?,
            None => bare(value)?,
        },
    };
    Ok(Some((name, value)))
}

fn single_quoted(rest: &str) -> Result<String, &'static str> {
    let (value, after) = rest.split_once('\'').ok_or("opens a ' that nothing closes")?;
    only_comment(after)?;
    Ok(value.to_owned())
}

fn double_quoted(rest: &str) -> Result<String, &'static str> {
    let mut value = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next().ok_or("opens a \" that nothing closes")? {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(c @ ('"' | '$' | '\\')) => value.push(c),
                _ => return Err("has a \\ in front of something other than n \" $ \\"),
            },
            '$' => return Err("would need expansion, which is not done: write \\$ or use '…'"),
            c => value.push(c),
        }
    }
    only_comment(chars.as_str())?;
    Ok(value)
}

fn bare(value: &str) -> Result<String, &'static str> {
    let comment = if value.starts_with('#') {
        Some(0)
    } else {
        value.find(" #").or_else(|| value.find("\t#"))
    };
    let value = comment.and_then(|at| value.get(..at)).unwrap_or(value).trim_end();
    if value.contains("${") || value.contains("$(") {
        return Err("would need expansion, which is not done: use '…'");
    }
    Ok(value.to_owned())
}

fn only_comment(after: &str) -> Result<(), &'static str> {
    let after = after.trim_start();
    if after.is_empty() || after.starts_with('#') {
        Ok(())
    } else {
        Err("has something behind its closing quote")
    }
}

/// Spells a value so that [`parse`] reads it back the same.
pub(super) fn quote(value: &str) -> String {
    let plain = |c: char| !c.is_control() && !matches!(c, '#' | '"' | '\'' | '$' | '\\');
    if value.trim() == value && value.chars().all(plain) {
        return value.to_owned();
    }
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '"' | '$' | '\\' => quoted.extend(['\\', c]),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_spellings_of_a_line() {
        let text = "\u{feff}# a comment\n\nA=1\n export B = two words # said\nC='a #b'  # c\n\
                    D=\"x\\n\\\"y\\\" \\$\"\nE=\nF=a#b\r\nG=# nothing\nexported=1\n";
        let parsed = parse(text);
        assert_eq!(parsed.faults, []);
        let pairs: Vec<_> = parsed.vars.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a #b"),
            ("D", "x\n\"y\" $"),
            ("E", ""),
            ("F", "a#b"),
            ("G", ""),
            ("exported", "1"),
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_by_its_number() {
        let bad = ["A", "1A=2", "A B=2", "=2", "A='x", "A=\"x", "A='x'y", "A=\"\\x\"", "A=${B}"];
        for line in bad {
            let faults = parse(&format!("GOOD=1\n{line}\n")).faults;
            assert_eq!(faults.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [2], "{line:?}");
        }
        assert_eq!(parse("A=1\nA=2").faults.len(), 1);
    }

    #[test]
    fn the_compiled_in_defaults_are_readable() {
        assert_eq!(parse(DEFAULT_ENV).faults, []);
        assert_eq!(default_of("LENSLET_VARIANT_LAYOUT"), Some("versioned"));
        assert_eq!(default_of("LENSLET_KEYS"), None);
    }

    proptest! {
        #[test]
        fn a_quoted_value_reads_back_the_same(value in "[ -~\\n\u{e4}\u{20ac}]{0,40}") {
            let parsed = parse(&format!("NAME={} # comment", quote(&value)));
            prop_assert_eq!(parsed.faults, []);
            prop_assert_eq!(parsed.vars, [("NAME".to_owned(), value)]);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,200}") {
            parse(&text);
        }
    }
}
