//! What stands in the documents against what the code knows: option tables, names of settings,
//! the presets that are shipped. Never judges a sentence.

use crate::house::sources::{files, root};
use lenslet::config::{Env, Machine, Purpose, Settings};
use lenslet::dialect::{Presets, options};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_option_table_of_the_readme_is_the_one_the_parser_has() {
    let readme = text("README.md");
    let (_, behind) = readme.split_once("<!-- options:start -->\n").expect("its start is marked");
    let (table, _) = behind.split_once("<!-- options:end -->").expect("its end is marked");
    for (written, known) in table.lines().zip(options::markdown().lines()) {
        assert_eq!(written, known, "README.md: the option table is printed by options::markdown");
    }
    assert_eq!(table, options::markdown());
}

/// The names in front of `=` in an env file, comments taken out.
fn set_names(env: &str) -> BTreeSet<String> {
    let lines = env.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect()
}

/// Every `LENSLET_…` and `OTEL_…` of a text; a name that ends in `_` is the beginning of names.
fn named(text: &str) -> BTreeSet<&str> {
    let part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let starts = ["LENSLET_", "OTEL_"].into_iter().flat_map(|prefix| text.match_indices(prefix));
    let starts = starts.map(|(at, _)| at);
    let whole = starts.map(|at| {
        let rest = &text[at..];
        &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())]
    });
    whole.collect()
}

#[test]
fn every_setting_a_document_names_exists() {
    let known = set_names(&text("config/default.env"));
    assert!(known.len() > 40, "only {} settings", known.len());
    // Options of one store are patterns around the list, told in its comments.
    let options = [
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
        "SESSION_TOKEN",
        "REGION",
        "VIRTUAL_HOSTED",
        "CREDENTIALS",
        "ACCOUNT",
        "ACCOUNT_KEY",
        "SAS_TOKEN",
        "TENANT_ID",
        "CLIENT_ID",
        "CLIENT_SECRET",
        "EMULATOR",
        "ENDPOINT",
        "ANONYMOUS",
        "ALLOW_HTTP",
        "ALLOW_PRIVATE",
        "FOLLOW_SYMLINKS",
        "KEYS",
        "MAX_SOURCE_BYTES",
        "MAX_SOURCE_PIXELS",
        "FETCH_TIMEOUT",
        "SOURCE_TTL",
    ];
    let comments = text("config/default.env");
    for option in options {
        assert!(comments.contains(option), "{option} is not told of");
    }
    let of_a_store = |name: &str| {
        let behind =
            name.strip_prefix("LENSLET_ORIGIN_").or(name.strip_prefix("LENSLET_VARIANTS_"));
        let beginning = |rest: &str| rest.is_empty() || rest.ends_with('_');
        behind.is_some_and(|rest| beginning(rest) || options.iter().any(|o| rest.ends_with(o)))
    };
    let exists = |name: &str| {
        let name = name.strip_suffix("_FILE").filter(|_| !known.contains(name)).unwrap_or(name);
        let beginning = name.ends_with('_') && known.iter().any(|known| known.starts_with(name));
        known.contains(name) || beginning || of_a_store(name)
    };
    let read = files(&["config", "k8s"], &[".env", ".toml", ".yaml", ".yml", ".md"]);
    let at_the_top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Dockerfile"];
    let mut offenders = Vec::new();
    for (path, text) in at_the_top
        .into_iter()
        .filter_map(|path| Some((path.to_owned(), fs::read_to_string(root().join(path)).ok()?)))
        .chain(read.into_iter().map(|file| (file.path, file.text)))
    {
        let unknown = named(&text).into_iter().filter(|name| !exists(name));
        offenders.extend(unknown.map(|name| format!("{path}: {name}")));
    }
    assert!(offenders.is_empty(), "not in config/default.env:\n{}", offenders.join("\n"));
}

#[test]
fn the_presets_that_are_shipped_hold_to_the_default_limits() {
    let presets = Presets::parse(&text("config/presets.toml")).unwrap();
    let settings =
        Settings::read(&Env::gather([], None), &Machine::detect(), Purpose::Offline).unwrap();
    presets.check(&settings.limits).unwrap();
    // The same by the door the service takes.
    let file = root().join("config/presets.toml").into_os_string();
    let env = Env::gather([(OsString::from("LENSLET_PRESETS_FILE"), file)], None);
    let settings = Settings::read(&env, &Machine::detect(), Purpose::Offline).unwrap();
    assert_eq!(settings.access.presets, presets);
    assert!(!presets.is_empty());
}
