//! Settings that decide who may ask for what, in the types of the dialects. Never verifies a
//! signature: the dialects do.

use super::read::Reader;
use super::values::{deserialize_from_text, spelt, unreadable, words};
use crate::dialect::presets::Presets;
use crate::dialect::request::{DialectSettings, IgnoredName, SizedPath, UnknownParams};
use crate::dialect::signature::Keys;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Who may ask for what.
#[derive(Debug, Clone)]
pub struct Access {
    /// Signing keys; without any, nothing can be signed.
    pub keys: Keys,
    /// What a URL without a signature may do.
    pub unsigned: Unsigned,
    /// The sizes that the sized dialect admits, as the operator listed them.
    pub allowed_sizes: Vec<SizedPath>,
    /// The presets of `LENSLET_PRESETS_FILE`, held to the limits.
    pub presets: Presets,
    /// What an unknown URL parameter does.
    pub unknown_params: UnknownParams,
    /// URL parameters that are passed over.
    pub ignored_params: Vec<IgnoredName>,
}

#[derive(Deserialize)]
struct AccessVars {
    keys: Option<KeyList>,
    unsigned: Unsigned,
    allowed_sizes: Option<Sizes>,
    presets_file: Option<PathBuf>,
    unknown_params: UnknownParams,
    ignored_params: IgnoredNames,
}

/// The keys alone.
#[derive(Deserialize)]
pub(super) struct KeyVars {
    keys: Option<KeyList>,
}

impl KeyVars {
    pub(super) fn keys(self) -> Keys {
        self.keys.map(|list| list.0).unwrap_or_default()
    }
}

impl Access {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let vars = reader.read::<AccessVars>()?;
        let presets = vars.presets_file.as_deref().map_or_else(|| Ok(Presets::default()), presets);
        let presets = presets.unwrap_or_else(|rule| {
            reader.faults().add("LENSLET_PRESETS_FILE", rule);
            Presets::default()
        });
        Some(Self {
            keys: vars.keys.map(|list| list.0).unwrap_or_default(),
            unsigned: vars.unsigned,
            allowed_sizes: vars.allowed_sizes.map(|sizes| sizes.0).unwrap_or_default(),
            presets,
            unknown_params: vars.unknown_params,
            ignored_params: vars.ignored_params.0,
        })
    }

    /// What the dialects are told.
    #[must_use]
    pub fn dialect(&self) -> DialectSettings<'_> {
        DialectSettings {
            presets: &self.presets,
            unknown: self.unknown_params,
            ignored: &self.ignored_params,
        }
    }
}

fn presets(file: &Path) -> Result<Presets, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Presets::parse(&text).map_err(|error| format!("{}: {error}", file.display()))
}

words! {
    /// What a URL without a signature may do.
    pub Unsigned {
        /// Nothing.
        Deny = "deny",
        /// Ask for one of the allowed sizes.
        Sizes = "sizes",
        /// Ask for a preset.
        Presets = "presets",
        /// Anything.
        Allow = "allow",
    }
}

spelt! {
    UnknownParams { Refuse = "error", Ignore = "ignore" }
}

struct KeyList(Keys);

impl FromStr for KeyList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let keys = Keys::parse(text);
        keys.map(Self).map_err(|error| format!("{error} (`lenslet keygen` makes a key)"))
    }
}

struct Sizes(Vec<SizedPath>);

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |item: &str| {
            let expected = "sizes: 300x200,600x0 where 0 leaves one side free";
            item.parse().map_err(|_| unreadable(item, expected))
        };
        text.split(',').map(str::trim).map(read).collect::<Result<_, _>>().map(Self)
    }
}

struct IgnoredNames(Vec<IgnoredName>);

impl FromStr for IgnoredNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.*".contains(&b);
        let read = |pattern: &str| {
            let name = IgnoredName::new(pattern).filter(|_| pattern.bytes().all(fits));
            name.ok_or_else(|| unreadable(pattern, "names of parameters: utm_*,fbclid"))
        };
        text.split(',').map(str::trim).map(read).collect::<Result<_, _>>().map(Self)
    }
}

deserialize_from_text!(KeyList, Sizes, IgnoredNames);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hex_of_at_least_16_bytes_and_an_error_shows_none() {
        let good = "00112233445566778899aabbccddeeff";
        assert!(format!("{good} , {good}").parse::<KeyList>().is_ok());
        for (text, says) in [
            ("secret-words-that-are-no-hex-at-all", "key 1 is not an even number of hex digits"),
            ("00112233", "key 1 has 4 bytes"),
            (&format!("{good},{good}0"), "key 2 is not an even number of hex digits"),
            (&format!("{good},"), "key 2 has 0 bytes"),
        ] {
            let Err(error) = text.parse::<KeyList>() else { panic!("{text} is accepted") };
            assert!(error.starts_with(says), "{error}");
            assert!(!error.contains(good) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn sizes_have_one_side_free_at_most() {
        let Ok(sizes) = "300x200, 0x50".parse::<Sizes>() else { panic!() };
        assert_eq!(sizes.0.len(), 2);
        for text in
            ["300", "x200", "300X200", "0x0", "300x200,", "-1x5", "100000x1", "3 x 4", "0300x200"]
        {
            assert!(text.parse::<Sizes>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_name_may_end_in_a_star_and_has_none_elsewhere() {
        let Ok(names) = "utm_*, fbclid".parse::<IgnoredNames>() else { panic!() };
        assert!(names.0.iter().any(|name| name.matches("utm_source")));
        for text in ["", "*", "a,,b", "a*b", "a b", "a=b"] {
            assert!(text.parse::<IgnoredNames>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_broken_preset_is_a_fault_of_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[a]\nparams = \"w=0\"").unwrap();
        let error = presets(file.path()).unwrap_err();
        assert!(error.contains("preset \"a\"") && error.contains("\"0\""), "{error}");
    }
}
