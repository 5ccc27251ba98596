//! How the memory of the process is shared out (DESIGN §5). Counts bytes; reserves none.

use crate::config::Capacity;
use crate::model::units::ByteSize;

/// The shares of the process's memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryBudget {
    /// Renders at a time.
    pub(super) renders: usize,
    /// All of it.
    pub(super) total: ByteSize,
    /// Finished variants.
    pub(super) cache: ByteSize,
    /// Originals being fetched or waiting to be decoded: a quarter of what is left.
    pub(super) sources: ByteSize,
    /// Write-backs under way.
    pub(super) writes: ByteSize,
    /// Decoding and encoding: the rest.
    pub(super) decodes: ByteSize,
}

/// Code, tables, stacks, connections: what the process needs before the first picture.
const BASE: u64 = 64 << 20;

impl MemoryBudget {
    /// Shares out what the settings give.
    pub(super) fn of(capacity: &Capacity) -> Self {
        let total = capacity.memory.get();
        // One eighth stays free: allocators round up and fragment.
        let usable = total.saturating_sub(total / 8).saturating_sub(BASE).max(total / 4);
        let left = usable.saturating_sub(capacity.memory_cache.get()).max(usable / 4);
        let (sources, writes) = (left / 4, left / 8);
        Self {
            renders: capacity.cpus,
            total: capacity.memory,
            cache: capacity.memory_cache,
            sources: ByteSize::new(sources),
            writes: ByteSize::new(writes),
            decodes: ByteSize::new(left - sources - writes),
        }
    }
}
