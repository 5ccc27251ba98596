//! envy with every error instead of the first, and with the variable's name instead of the
//! field's. Never decides what a value means: that is in the types it reads into.

use super::dotenv::{DEFAULTS, default_of};
use super::env::Env;
use super::fault::Faults;
use super::known::PREFIX;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Reads structs out of an environment and collects what is wrong.
pub(super) struct Reader<'a> {
    env: &'a Env,
    faults: Faults,
}

impl<'a> Reader<'a> {
    /// Begins with what was wrong already when the environment was gathered.
    pub(super) fn new(env: &'a Env) -> Self {
        Self { env, faults: env.faults().clone() }
    }

    /// Begins with a clean slate: only what is read here counts.
    pub(super) fn alone(env: &'a Env) -> Self {
        Self { env, faults: Faults::default() }
    }

    pub(super) fn env(&self) -> &'a Env {
        self.env
    }

    pub(super) fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    pub(super) fn finish(self) -> Faults {
        self.faults
    }

    /// Reads the one struct and is done.
    pub(super) fn only<T: DeserializeOwned>(self) -> Result<T, Faults> {
        self.only_behind(PREFIX)
    }

    /// Reads the one struct whose fields are variables behind `prefix` and is done.
    pub(super) fn only_behind<T: DeserializeOwned>(mut self, prefix: &str) -> Result<T, Faults> {
        match self.read_behind(prefix) {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(self.faults),
        }
    }

    /// Reads a flat struct whose fields are settings without the prefix.
    pub(super) fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        self.read_behind(PREFIX)
    }

    /// Reads a flat struct whose fields are the full names of variables.
    pub(super) fn read_plain<T: DeserializeOwned>(&mut self) -> Option<T> {
        self.read_behind("")
    }

    /// Reads a flat struct whose fields are variables behind `prefix`.
    ///
    /// All at once first. Where that fails, each variable that somebody has set is read alone
    /// over the defaults, which are known to be right, so an error can only be its own; then all
    /// at once again without the broken ones, so that rules between the others are still held.
    pub(super) fn read_behind<T: DeserializeOwned>(&mut self, prefix: &str) -> Option<T> {
        let all: BTreeMap<&str, &str> =
            self.env.with_prefix(prefix).map(|(n, var)| (n, var.value.as_str())).collect();
        if let Ok(value) = envy_read(prefix, &all) {
            return Some(value);
        }
        let defaults: BTreeMap<&str, &str> = DEFAULTS
            .iter()
            .filter(|(name, value)| name.starts_with(prefix) && !value.is_empty())
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut sound = all.clone();
        for (name, value) in &all {
            let mut alone = defaults.clone();
            alone.insert(name, value);
            if let Err(rule) = envy_read::<T>(prefix, &alone) {
                self.faults.add(*name, rule);
                match default_of(name) {
                    Some(value) => sound.insert(name, value),
                    None => sound.remove(name),
                };
            }
        }
        match envy_read(prefix, &sound) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.faults.add("config/default.env", rule);
                None
            }
        }
    }
}

fn envy_read<T: DeserializeOwned>(prefix: &str, vars: &BTreeMap<&str, &str>) -> Result<T, String> {
    let pairs = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    envy::prefixed(prefix).from_iter(pairs).map_err(|error| match error {
        envy::Error::Custom(rule) => rule,
        // Only a hole in config/default.env gets here: every other field is optional.
        envy::Error::MissingValue(field) => format!("{field} has no value"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Three {
        max_queue: u32,
        max_frames: u32,
        log_format: String,
    }

    #[test]
    fn every_broken_variable_is_reported_and_the_sound_ones_are_kept() {
        let pairs = [
            ("LENSLET_MAX_QUEUE", "x"),
            ("LENSLET_MAX_FRAMES", "y"),
            ("LENSLET_LOG_FORMAT", "json"),
        ];
        let env = Env::gather(pairs.map(|(n, v)| (n.into(), v.into())), None);
        let mut reader = Reader::new(&env);
        let three: Three = reader.read().unwrap();
        assert_eq!((three.max_queue, three.max_frames), (512, 256));
        assert_eq!(three.log_format, "json");
        let faults = reader.finish();
        let names: Vec<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
        assert_eq!(names, ["LENSLET_MAX_FRAMES", "LENSLET_MAX_QUEUE"]);
    }
}
