//! Settings of what the process may use. Never measures: the machine is handed in.

use super::machine::{Machine, Told};
use super::read::Reader;
use super::values;
use crate::model::units::ByteSize;
use serde::Deserialize;

/// What the process may use, with `auto` resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Renders at a time, at least 1.
    pub cpus: usize,
    /// Who says so.
    pub cpus_by: Told,
    /// Bytes for everything: cache, sources, pixels and the process itself.
    pub memory: ByteSize,
    /// Who says so.
    pub memory_by: Told,
    /// Bytes of finished variants in memory, part of `memory`; 0 keeps none.
    pub memory_cache: ByteSize,
    /// Who says so.
    pub memory_cache_by: Told,
    /// Bytes of decoded originals kept for the next variants, in what renders may take; 0 keeps
    /// none, and requests share no decode.
    pub decoded_cache: ByteSize,
    /// Who says so.
    pub decoded_cache_by: Told,
    /// Bytes of originals kept for the next variants, in what is set aside for originals; 0 keeps
    /// none, nothing said is a part of that.
    pub source_cache: Option<ByteSize>,
    /// Renders that may wait, 0 to 100,000.
    pub max_queue: usize,
}

#[derive(Deserialize)]
struct CapacityVars {
    #[serde(deserialize_with = "values::auto_cpus::<1, 1_024, _>")]
    cpu_budget: Option<u32>,
    #[serde(deserialize_with = "values::auto_bytes::<33_554_432, 1_125_899_906_842_624, _>")]
    memory_limit: Option<ByteSize>,
    memory_cache: CacheSize,
    decoded_cache: CacheSize,
    source_cache: CacheSize,
    #[serde(deserialize_with = "values::whole::<0, 100_000, _>")]
    max_queue: u32,
}

/// Bytes, of which 0 is an amount too, or `auto`.
struct CacheSize(Option<ByteSize>);

impl std::str::FromStr for CacheSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// A petabyte: more is a slip of the pen.
        const MOST: u64 = 1 << 50;
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self(None));
        }
        values::bytes_between(text, 0, MOST).map(|bytes| Self(Some(bytes)))
    }
}

values::deserialize_from_text!(CacheSize);

impl Capacity {
    pub(super) fn read(reader: &mut Reader<'_>, machine: &Machine) -> Option<Self> {
        let vars = reader.read::<CapacityVars>()?;
        let (cpus, cpus_by) = match vars.cpu_budget {
            Some(cpus) => (cpus as usize, Told::Setting("LENSLET_CPU_BUDGET")),
            None => (machine.cpus, machine.cpus_by),
        };
        let (memory, memory_by) = match vars.memory_limit {
            Some(memory) => (memory, Told::Setting("LENSLET_MEMORY_LIMIT")),
            None => (machine.memory, machine.memory_by),
        };
        let (memory_cache, memory_cache_by) = match vars.memory_cache.0 {
            Some(cache) => (cache, Told::Setting("LENSLET_MEMORY_CACHE")),
            None => (cache_share(memory), Told::Share),
        };
        let (decoded_cache, decoded_cache_by) = match vars.decoded_cache.0 {
            Some(cache) => (cache, Told::Setting("LENSLET_DECODED_CACHE")),
            None => (cache_share(memory), Told::Share),
        };
        Some(Self {
            cpus: cpus.max(1),
            cpus_by,
            memory,
            memory_by,
            memory_cache,
            memory_cache_by,
            decoded_cache,
            decoded_cache_by,
            source_cache: vars.source_cache.0,
            max_queue: vars.max_queue as usize,
        })
    }
}

/// An eighth of the memory: enough for what is asked again at once, since what is older lies in
/// the store. Never so little that one page of pictures does not fit, nor so much that a machine
/// without limits looks full.
fn cache_share(memory: ByteSize) -> ByteSize {
    const LEAST: u64 = 16 << 20;
    const MOST: u64 = 1 << 30;
    ByteSize::new((memory.get() / 8).clamp(LEAST, MOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::Env;

    fn read(machine: Machine, pairs: &[(&str, &str)]) -> Capacity {
        let env = Env::gather(pairs.iter().map(|(n, v)| (n.into(), v.into())), None);
        Capacity::read(&mut Reader::new(&env), &machine).unwrap()
    }

    const SMALL: Machine = Machine::of(3, ByteSize::new(512 << 20));

    #[test]
    fn what_is_not_set_follows_the_machine() {
        let all = read(SMALL, &[]);
        assert_eq!((all.cpus, all.cpus_by), (3, Told::Affinity));
        assert_eq!((all.memory.get(), all.memory_by), (512 << 20, Told::Machine));
        assert_eq!((all.memory_cache.get(), all.memory_cache_by), (64 << 20, Told::Share));
    }

    #[test]
    fn the_downward_apis_values_are_taken_and_its_nothing_is_not() {
        let all = read(SMALL, &[("LENSLET_CPU_BUDGET", "0"), ("LENSLET_MEMORY_LIMIT", "0")]);
        assert_eq!((all.cpus_by, all.memory_by), (Told::Affinity, Told::Machine));
        let set = [("LENSLET_CPU_BUDGET", "500m"), ("LENSLET_MEMORY_LIMIT", "1073741824")];
        let all = read(SMALL, &set);
        assert_eq!((all.cpus, all.cpus_by.to_string()), (1, "LENSLET_CPU_BUDGET".to_owned()));
        let by = Told::Setting("LENSLET_MEMORY_LIMIT");
        assert_eq!((all.memory.get(), all.memory_by), (1 << 30, by));
        assert_eq!(all.memory_cache.get(), 128 << 20);
    }

    #[test]
    fn the_cache_takes_an_eighth_within_bounds_or_what_is_said() {
        for (memory, cache) in [(32 << 20, 16 << 20), (1 << 30, 128 << 20), (1 << 40, 1 << 30)] {
            assert_eq!(cache_share(ByteSize::new(memory)).get(), cache);
        }
        let none = read(SMALL, &[("LENSLET_MEMORY_CACHE", "0")]);
        let by = Told::Setting("LENSLET_MEMORY_CACHE");
        assert_eq!((none.memory_cache.get(), none.memory_cache_by), (0, by));
        assert_eq!((none.decoded_cache.get(), none.decoded_cache_by), (64 << 20, Told::Share));
        assert_eq!(none.source_cache, None);
        let said = [("LENSLET_DECODED_CACHE", "0"), ("LENSLET_SOURCE_CACHE", "8MiB")];
        let said = read(SMALL, &said);
        let by = Told::Setting("LENSLET_DECODED_CACHE");
        assert_eq!((said.decoded_cache.get(), said.decoded_cache_by), (0, by));
        assert_eq!(said.source_cache, Some(ByteSize::new(8 << 20)));
    }
}
