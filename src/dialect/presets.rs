//! Presets: named sets of parameters, written in the grammar of URLs and checked when they are
//! loaded. Expanded before the canonical form, so a preset and its parameters written out are
//! the same variant. Never reads a file: the text is handed in.

use super::options::{self, Reader};
use super::query::{self, Rules, Scope};
use super::request::UnknownParams;
use crate::model::draft::{BadParam, BadParamKind, Draft};
use crate::model::limits::Limits;
use crate::model::transform::Accepts;
use crate::model::units::{ByteSize, PixelCount};
use std::collections::BTreeMap;

/// The presets of a deployment, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presets(BTreeMap<String, Preset>);

/// One preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Its parameters.
    pub draft: Draft,
    /// Names of the parameters that may be added where presets are closed.
    pub allow: Vec<&'static str>,
}

/// Why a text of presets cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PresetError {
    /// Not TOML, or not of the form.
    #[error("presets: {0}")]
    Toml(String),
    /// A name that could not stand in a URL as it is.
    #[error("preset {0:?}: a name has 1 to 64 of a-z, 0-9, - and _")]
    Name(String),
    /// `params` asks for nothing.
    #[error("preset {0:?}: params is empty")]
    Nothing(String),
    /// A parameter of it is wrong.
    #[error("preset {name:?}: {fault}")]
    Parameter {
        /// The preset.
        name: String,
        /// What is wrong with it.
        fault: Box<BadParam>,
    },
    /// `allow` names something that is no parameter of the picture.
    #[error("preset {name:?}: allow names {param:?}, which is no parameter that changes a picture")]
    Allow {
        /// The preset.
        name: String,
        /// What it names.
        param: String,
    },
}

/// A request that leaves the presets where they are closed (SEMANTICS 20).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No preset at all.
    #[error("unsigned requests need a preset here")]
    NoPreset,
    /// More than the preset allows.
    #[error(
        "preset {preset:?} takes no {added} from unsigned requests (it takes {})",
        listed(allowed)
    )]
    Added {
        /// The preset.
        preset: String,
        /// What was added.
        added: &'static str,
        /// What may be added.
        allowed: Vec<&'static str>,
    },
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A preset as it is written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    params: String,
    #[serde(default)]
    allow: Vec<String>,
}

/// A fault of TOML with its line; its own text draws a picture of several.
fn one_line(fault: &toml::de::Error, text: &str) -> String {
    let before = fault.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    format!("line {line}: {}", fault.message().replace('\n', "; "))
}

/// Bounds that no preset can meet, so that only contradictions are found.
const BOUNDLESS: Limits = Limits {
    source_bytes: ByteSize::new(u64::MAX),
    source_pixels: PixelCount::new(u64::MAX),
    output_side: u32::MAX,
    frames: u32::MAX,
    avif_pixels: PixelCount::new(u64::MAX),
};

impl Presets {
    /// Reads `[name]` tables of `params = "w=200&h=200&fit=cover"` and, optionally,
    /// `allow = ["dpr"]`.
    ///
    /// # Errors
    /// [`PresetError`] for the first fault, naming the preset: unknown and not yet built
    /// parameters, values out of range, contradictions.
    pub fn parse(toml_text: &str) -> Result<Self, PresetError> {
        let written: BTreeMap<String, Written> = toml::from_str(toml_text)
            .map_err(|fault| PresetError::Toml(one_line(&fault, toml_text)))?;
        let mut presets = BTreeMap::new();
        for (name, written) in written {
            let preset = Preset::read(&name, &written)?;
            presets.insert(name, preset);
        }
        let presets = Self(presets);
        presets.check(&BOUNDLESS)?;
        Ok(presets)
    }

    /// Holds every preset, as it stands, to the limits of the deployment.
    ///
    /// # Errors
    /// [`PresetError::Parameter`], such as for a side over the limit.
    pub fn check(&self, limits: &Limits) -> Result<(), PresetError> {
        // A document about the original is held to no limit of pictures.
        for (name, preset) in self.0.iter().filter(|(_, preset)| !preset.draft.is_info()) {
            match preset.draft.resolve(Accepts::default(), limits) {
                // A ratio may wait for the side a URL adds.
                Err(fault) if fault.kind != BadParamKind::Missing => {
                    return Err(PresetError::Parameter { name: name.clone(), fault: fault.into() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// By name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.0.get(name)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fault of naming a preset that is not there.
    pub(super) fn unknown(&self, name: &str) -> BadParam {
        let allowed = if self.is_empty() {
            "no preset: this server has none".to_owned()
        } else {
            "the name of a preset of this server".to_owned()
        };
        let fault = BadParam::new(BadParamKind::Malformed, "preset", name, &allowed);
        // Longer text is no slip of the names above, and costs time to compare.
        if name.len() > 64 {
            return fault;
        }
        let near = self.names().map(|known| (strsim::osa_distance(name, known), known)).min();
        match near {
            Some((distance, known)) if distance <= 2 && distance < known.len() => {
                fault.suggest(format!("did you mean {known}?"))
            }
            _ => fault,
        }
    }
}

impl Preset {
    fn read(name: &str, written: &Written) -> Result<Self, PresetError> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) {
            return Err(PresetError::Name(name.to_owned()));
        }
        let rules = Rules { scope: Scope::Preset, unknown: UnknownParams::Refuse, ignored: &[] };
        let read = query::read(&written.params, &rules).map_err(|fault| {
            PresetError::Parameter { name: name.to_owned(), fault: fault.into() }
        })?;
        if read.given.is_empty() {
            return Err(PresetError::Nothing(name.to_owned()));
        }
        if let (true, Some(other)) =
            (read.draft.is_info(), read.given.iter().find(|spec| spec.name != "f"))
        {
            let rival = format!("{}: it describes the original, not a result", other.name);
            let fault = BadParam::new(BadParamKind::Contradiction, "f", "json", &rival);
            return Err(PresetError::Parameter { name: name.to_owned(), fault: fault.into() });
        }
        let mut allow = Vec::with_capacity(written.allow.len());
        for param in &written.allow {
            match options::find(param) {
                Some(spec) if matches!(spec.reader, Reader::Wish(_)) => allow.push(spec.name),
                _ => {
                    let (name, param) = (name.to_owned(), param.clone());
                    return Err(PresetError::Allow { name, param });
                }
            }
        }
        Ok(Self { draft: read.draft, allow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        Presets::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_presets_shipped_with_the_service_are_valid() {
        let presets = Presets::parse(include_str!("../../config/presets.toml")).unwrap();
        let names: Vec<_> = presets.names().collect();
        assert_eq!(names, ["card", "hero", "thumb"]);
        assert_eq!(presets.get("thumb").unwrap().allow, ["dpr"]);
    }

    #[test]
    fn no_text_is_no_presets() {
        assert!(Presets::parse("").unwrap().is_empty());
    }

    #[test]
    fn a_fault_names_the_preset_and_what_is_wrong() {
        let shown = fault("[a]\nparams = \"w=200&width=3\"");
        assert!(shown.contains("\"a\"") && shown.contains("use w="), "{shown}");
        assert!(fault("[a]\nparams = \"trim=10\"").contains("not supported in this version"));
        assert!(fault("[a]\nparams = \"w=007\"").contains("\"007\""));
        assert!(fault("[a]\nparams = \"f=jpeg&lossless\"").contains("contradicts"));
        assert!(fault("[a]\nparams = \"preset=b\"").contains("contradicts a preset"));
        assert!(fault("[a]\nparams = \"w=1&s=abc\"").contains("contradicts a preset"));
        assert!(fault("[a]\nparams = \"w=1&v=3\"").contains("contradicts a preset"));
        assert!(fault("[a]\nparams = \"\"").contains("params is empty"));
        assert!(fault("[a]\nparams = \"w=1\"\nallow = [\"v\"]").contains("allow names \"v\""));
        assert!(fault("[a]\nparams = \"w=1\"\nallow = [\"trim\"]").contains("\"trim\""));
        assert!(fault("[a]\nparam = \"w=1\"").contains("param"));
        assert!(fault("[a]\nparams = \"f=json&w=1\"").contains("contradicts w"));
        assert!(Presets::parse("[about]\nparams = \"f=json\"").is_ok());
        assert!(fault("[\"A b\"]\nparams = \"w=1\"").contains("\"A b\""));
        assert!(fault("\n[a").starts_with("presets: line 2: "), "{}", fault("\n[a"));
        assert_eq!(fault("[a").lines().count(), 1);
    }

    #[test]
    fn a_preset_may_leave_the_side_of_a_ratio_to_the_url() {
        assert!(Presets::parse("[wide]\nparams = \"ar=16:9\"\nallow = [\"w\"]").is_ok());
    }

    #[test]
    fn a_side_over_the_limit_is_found_when_limits_are_known() {
        let presets = Presets::parse("[big]\nparams = \"w=9000\"").unwrap();
        assert!(presets.check(&BOUNDLESS).is_ok());
        let shown = presets.check(&Limits { output_side: 8_192, ..BOUNDLESS }).unwrap_err();
        assert!(shown.to_string().contains("1–8192"), "{shown}");
    }
}
