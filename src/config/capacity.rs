//! Settings of what the process may use. Never measures: the machine is handed in.

use super::machine::Machine;
use super::read::Reader;
use super::values;
use crate::model::units::ByteSize;
use serde::Deserialize;

/// What the process may use, with `auto` resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Renders at a time, at least 1.
    pub cpus: usize,
    /// Bytes for everything: cache, sources, pixels and the process itself.
    pub memory: ByteSize,
    /// Bytes of finished variants in memory, part of `memory`; 0 keeps none.
    pub memory_cache: ByteSize,
    /// Renders that may wait, 0 to 100,000.
    pub max_queue: usize,
}

#[derive(Deserialize)]
struct CapacityVars {
    #[serde(deserialize_with = "values::auto_whole::<1, 1_024, _>")]
    cpu_budget: Option<u32>,
    #[serde(deserialize_with = "values::auto_bytes::<33_554_432, 1_125_899_906_842_624, _>")]
    memory_limit: Option<ByteSize>,
    #[serde(deserialize_with = "values::bytes::<0, 1_125_899_906_842_624, _>")]
    memory_cache: ByteSize,
    #[serde(deserialize_with = "values::whole::<0, 100_000, _>")]
    max_queue: u32,
}

impl Capacity {
    pub(super) fn read(reader: &mut Reader<'_>, machine: &Machine) -> Option<Self> {
        let vars = reader.read::<CapacityVars>()?;
        Some(Self {
            cpus: vars.cpu_budget.map_or(machine.cpus, |n| n as usize).max(1),
            memory: vars.memory_limit.unwrap_or(machine.memory),
            memory_cache: vars.memory_cache,
            max_queue: vars.max_queue as usize,
        })
    }
}
