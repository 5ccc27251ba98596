//! The rules of the house as tests: which floor may look at which, what a file looks like, what
//! lies at the top. Reads the sources as text, so it judges every line whether compiled or not;
//! knows no Rust grammar beyond comments, which is enough for the way this code is written.

pub(crate) mod sources;

use sources::{files, has_word, joined_uses, modules_named, root, rust_files};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

/// The modules of `src` by floor. A module may use every floor below its own.
const FLOORS: [&[&str]; 4] = [
    &["model"],
    &["dialect", "codec", "pipeline"],
    &["origin", "variants", "decoded", "flight", "cpu"],
    &["service", "config", "cli", "telemetry"],
];

/// What may be used on one's own floor: user, used. None of these pairs exists both ways.
const NEIGHBOURS: &[(&str, &str)] = &[
    // Decoding at a scale is a step of the pipeline.
    ("pipeline", "codec"),
    // One flight per original, per variant.
    ("origin", "flight"),
    // A decoded picture lies in memory of the renders' budget.
    ("decoded", "cpu"),
    ("variants", "flight"),
    // The record of an original beside its variants holds what its HEAD told.
    ("variants", "origin"),
    // The process: commands start the service; all of them read settings and are observed.
    ("cli", "service"),
    ("cli", "config"),
    ("cli", "telemetry"),
    ("service", "config"),
    ("service", "telemetry"),
    ("telemetry", "config"),
];

/// What the pure floors never name: they get time, status and order from above, or not at all.
const IMPURE: &[&str] = &[
    "std::time",
    "std::net",
    "std::thread",
    "std::fs",
    "std::env",
    "tokio",
    "tracing",
    "actix_web",
    "object_store",
    "reqwest",
    "rayon",
    "StatusCode",
];

/// Lines of a file up to its unit tests, and with them.
const MAX_CODE_LINES: usize = 400;
const MAX_LINES: usize = 500;

/// The top level is the product's, not ours to grow.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".dockerignore",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "THIRD-PARTY.md",
    "benches",
    "clippy.toml",
    "config",
    "deny.toml",
    "k8s",
    "rustfmt.toml",
    "src",
    "tests",
];

/// Names that say nothing of what a file holds.
const EMPTY_NAMES: &[&str] =
    &["utils", "util", "helpers", "helper", "common", "misc", "shared", "types", "stuff"];

/// Marks of unfinished work and of one person's machine; spelled in halves, so that this list
/// does not find itself.
const FORBIDDEN: &[(&str, &str)] = &[
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X"),
    ("HA", "CK"),
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("place", "holder"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/wo", "rk/"),
];

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Fails with one offender a line.
fn none(rule: &str, offenders: &[String]) {
    let mut list = String::new();
    for offender in offenders {
        let _ = write!(list, "\n  {offender}");
    }
    assert!(offenders.is_empty(), "{rule}; {} do not hold to it:{list}", offenders.len());
}

#[test]
fn every_module_stands_on_a_floor() {
    let offenders: Vec<String> = files(&["src"], &[".rs"])
        .iter()
        .filter_map(|file| file.module().map(str::to_owned))
        .collect::<BTreeSet<_>>()
        .into_iter()
        // The build script is no part of what it builds.
        .filter(|module| !["main", "lib", "build"].contains(&module.as_str()))
        .filter(|module| floor_of(module).is_none())
        .collect();
    none("a module of src has a place in FLOORS", &offenders);
}

#[test]
fn every_floor_looks_only_down() {
    let mut offenders = Vec::new();
    for file in files(&["src"], &[".rs"]) {
        let Some(user) = file.module() else { continue };
        let Some(floor) = floor_of(user) else { continue };
        for (number, line) in joined_uses(&file) {
            for used in modules_named(&line) {
                let allowed = used == user
                    || floor_of(used).is_some_and(|below| below < floor)
                    || NEIGHBOURS.contains(&(user, used))
                    // An item of the crate root itself: a macro or a constant, not a module.
                    || (floor_of(used).is_none() && !root().join("src").join(used).exists());
                if !allowed {
                    offenders.push(format!("{}:{number}: {user} uses {used}", file.path));
                }
            }
        }
    }
    none("a module uses lower floors, or a neighbour listed in NEIGHBOURS", &offenders);
}

#[test]
fn neighbours_do_not_look_back() {
    let both: Vec<String> = NEIGHBOURS
        .iter()
        .filter(|(user, used)| NEIGHBOURS.contains(&(*used, *user)))
        .map(|(user, used)| format!("{user} and {used}"))
        .collect();
    none("of two neighbours only one uses the other", &both);
}

#[test]
fn the_pure_floors_know_no_clock_thread_store_or_status() {
    let mut offenders = Vec::new();
    let sources = files(&["src"], &[".rs"]);
    for file in &sources {
        // Tests may read golden files and the corpus.
        let pure = file.module().and_then(floor_of).is_some_and(|floor| floor < 2);
        if !pure || file.is_test(&sources) {
            continue;
        }
        for (number, line) in file.code() {
            if line == "mod tests {" {
                break;
            }
            for word in IMPURE.iter().filter(|word| has_word(line, word)) {
                offenders.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    none("model, dialect, codec and pipeline are pure functions", &offenders);
}

#[test]
fn every_file_opens_with_its_reason() {
    let offenders: Vec<String> = rust_files()
        .iter()
        .filter(|file| {
            // A sentence: a lone `//!` or a heading says nothing.
            !file.text.lines().next().is_some_and(|line| {
                line.strip_prefix("//! ").is_some_and(|reason| reason.split(' ').count() >= 3)
            })
        })
        .map(|file| file.path.clone())
        .collect();
    none("the first line of a file is `//! ` and why it exists", &offenders);
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    let mut offenders = Vec::new();
    let sources = rust_files();
    for file in &sources {
        let lines = file.text.lines().count();
        let tests = file.text.lines().position(|line| line.starts_with("mod tests {"));
        let code = if file.is_test(&sources) { 0 } else { tests.unwrap_or(lines) };
        if code > MAX_CODE_LINES || lines > MAX_LINES {
            offenders.push(format!("{}: {code} lines, {lines} with its tests", file.path));
        }
    }
    for file in files(&["tests/show"], &[".py"]) {
        let lines = file.text.lines().count();
        if lines > MAX_CODE_LINES {
            offenders.push(format!("{}: {lines} lines", file.path));
        }
    }
    let rule = format!("a file has at most {MAX_CODE_LINES} lines, {MAX_LINES} with its tests");
    none(&rule, &offenders);
}

#[test]
fn only_the_codecs_hold_unsafe_code() {
    let mut offenders = Vec::new();
    // In halves, so that this test does not find itself.
    let keyword = concat!("un", "safe");
    let spaced = format!("{keyword} ");
    for file in rust_files() {
        for (number, line) in file.code() {
            let found = ["{", "(", "fn ", "impl ", "extern ", "trait "]
                .iter()
                .any(|what| line.replace(&spaced, keyword).contains(&format!("{keyword}{what}")));
            if found && file.module() != Some("codec") {
                offenders.push(format!("{}:{number}", file.path));
            }
        }
    }
    none("unsafe code lives in src/codec", &offenders);
}

#[test]
fn no_file_is_named_after_nothing() {
    let offenders: Vec<String> = rust_files()
        .into_iter()
        .filter(|file| {
            let parts = file.path.trim_end_matches(".rs").split('/');
            parts.into_iter().any(|part| EMPTY_NAMES.contains(&part))
        })
        .map(|file| file.path)
        .collect();
    none("a file or folder is named after what it holds", &offenders);
}

#[test]
fn the_top_level_is_the_one_the_product_fixed() {
    // A build folder and version control are not part of the tree.
    let beside = [".git", "target"];
    let offenders: Vec<String> = fs::read_dir(root())
        .expect("the project is readable")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()) && !beside.contains(&name.as_str()))
        .collect();
    none("what lies at the top is listed in TOP_LEVEL", &offenders);
}

#[test]
fn nothing_is_left_unfinished_or_tied_to_one_machine() {
    let mut offenders = Vec::new();
    let endings = [".rs", ".py", ".md", ".toml", ".env", ".sh"];
    for file in files(&["src", "tests", "benches", "config", "k8s"], &endings) {
        for (index, line) in file.text.lines().enumerate() {
            for (head, tail) in FORBIDDEN {
                let word = format!("{head}{tail}");
                if has_word(line, &word) {
                    offenders.push(format!("{}:{}: {word:?}", file.path, index + 1));
                }
            }
        }
    }
    none("the sources hold finished work only", &offenders);
}

#[test]
fn the_reader_of_uses_sees_groups_and_paths() {
    let cases: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("use crate::model::format::Format;", &["model"] as &[&str]),
        ("use crate::{cpu, model::{key, units}, origin::Original};", &["cpu", "model", "origin"]),
        ("let x = crate::flight::fly(crate::cpu::slot());", &["flight", "cpu"]),
        ("use super::geometry::Size;", &[]),
    ]);
    for (line, expected) in cases {
        assert_eq!(modules_named(line), expected, "{line}");
    }
    assert!(has_word("use std::time::Duration;", "std::time"));
    assert!(!has_word("let tokio_like = 1;", "tokio"));
}
