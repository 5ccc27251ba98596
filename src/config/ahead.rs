//! What is made before anybody asks for it: names of presets, held to the presets there are.
//! Never makes anything; what the names mean is for the dialects.

use super::access::Access;
use super::fault::Faults;
use super::read::Reader;
use super::values::{deserialize_from_text, unreadable};
use crate::dialect::presets::Presets;
use crate::model::draft::BadParamKind;
use crate::model::limits::Limits;
use crate::model::transform::Accepts;
use serde::Deserialize;
use std::str::FromStr;

/// What is made ahead of the first request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ahead {
    /// Names of presets, each of them there and complete by itself, no name twice.
    pub presets: Vec<String>,
}

#[derive(Deserialize)]
struct AheadVars {
    pregenerate: Option<Names>,
}

/// Names of presets, or all of them.
#[derive(Debug, PartialEq, Eq)]
enum Names {
    All,
    These(Vec<String>),
}

impl FromStr for Names {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        if names == ["*"] {
            return Ok(Self::All);
        }
        match names.iter().find(|name| name.is_empty() || !name.bytes().all(fits)) {
            Some(name) => Err(unreadable(name, "names of presets: thumb,card, or * for all")),
            None => Ok(Self::These(names.into_iter().map(str::to_owned).collect())),
        }
    }
}

deserialize_from_text!(Names);

impl Ahead {
    /// Reads the names and holds them to the presets of `access`.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        access: Option<&Access>,
        limits: Option<&Limits>,
    ) -> Option<Self> {
        let vars = reader.read::<AheadVars>()?;
        let (access, limits) = (access?, limits?);
        let Some(names) = vars.pregenerate else { return Some(Self::default()) };
        let chosen = match &names {
            Names::All => Ok(complete(&access.presets, limits)),
            Names::These(names) => chosen(names, &access.presets, limits),
        };
        let presets = chosen.unwrap_or_else(|rule| {
            fault(reader.faults(), rule);
            Vec::new()
        });
        Some(Self { presets })
    }
}

fn fault(faults: &mut Faults, rule: String) {
    let names = ["LENSLET_PREGENERATE", "LENSLET_PRESETS_FILE", "LENSLET_MAX_OUTPUT_SIDE"];
    faults.cross(&names, true, || rule);
}

/// Every preset that is a whole wish by itself.
fn complete(presets: &Presets, limits: &Limits) -> Vec<String> {
    let whole = |name: &&str| usable(name, presets, limits).is_ok();
    presets.names().filter(whole).map(str::to_owned).collect()
}

/// The named presets in the order given, each once.
///
/// # Errors
/// One sentence naming a preset that is not there, with those that are, or one that leaves a part
/// of its wish to the URL.
pub(crate) fn chosen(
    names: &[String],
    presets: &Presets,
    limits: &Limits,
) -> Result<Vec<String>, String> {
    let mut chosen: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        usable(name, presets, limits)?;
        if !chosen.contains(name) {
            chosen.push(name.clone());
        }
    }
    Ok(chosen)
}

fn usable(name: &str, presets: &Presets, limits: &Limits) -> Result<(), String> {
    let Some(preset) = presets.get(name) else {
        let known: Vec<&str> = presets.names().collect();
        return Err(if known.is_empty() {
            format!("names {name}, but there are no presets: LENSLET_PRESETS_FILE names none")
        } else {
            format!("names {name}, which is no preset; these are: {}", known.join(", "))
        });
    };
    match preset.draft.resolve(Accepts::default(), limits) {
        Err(missing) if missing.kind == BadParamKind::Missing => {
            Err(format!("names {name}, which is no whole wish by itself: {missing}"))
        }
        // What else can be wrong with a preset is told of the presets themselves.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Env, Machine, Purpose, Settings};

    const PRESETS: &str = "[thumb]\nparams = \"w=200&f=auto\"\n[card]\nparams = \"w=480\"\n\
                           [open]\nparams = \"ar=4:3\"\n";

    fn read(value: &str) -> Result<Vec<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), PRESETS).unwrap();
        let pairs = [
            ("LENSLET_PREGENERATE".into(), value.into()),
            ("LENSLET_PRESETS_FILE".into(), file.path().into()),
        ];
        let settings =
            Settings::read(&Env::gather(pairs, None), &Machine::detect(), Purpose::Offline);
        settings.map(|settings| settings.ahead.presets).map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_list_of_names_is_kept_in_its_order_and_without_repetition() {
        assert_eq!(read("thumb, card,thumb").unwrap(), ["thumb", "card"]);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn a_star_is_every_preset_that_is_a_whole_wish() {
        assert_eq!(read("*").unwrap(), ["card", "thumb"]);
    }

    #[test]
    fn an_unknown_name_is_told_with_the_known_ones() {
        let told = read("thumb,hero").unwrap_err();
        assert!(told.contains("hero") && told.contains("card, open, thumb"), "{told}");
        assert!(read("open").unwrap_err().contains("w or h"));
        assert!(read("Thumb").unwrap_err().contains("cannot read"));
        assert!(read("*,thumb").unwrap_err().contains("cannot read"));
    }
}
