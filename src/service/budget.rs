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
    /// What is known of URLs, part of what the process needs in any case.
    pub(super) urls: ByteSize,
    /// Originals being fetched or waiting to be decoded: a quarter of what is left.
    pub(super) sources: ByteSize,
    /// Those of them that are kept when nobody reads them any more.
    pub(super) kept_sources: ByteSize,
    /// Write-backs under way.
    pub(super) writes: ByteSize,
    /// Decoding and encoding: the rest.
    pub(super) decodes: ByteSize,
    /// Decoded pictures kept when nobody needs them, part of `decodes`: renders that need the
    /// memory have it.
    pub(super) decoded: ByteSize,
}

/// Code, tables, stacks, connections, URLs: what the process needs beside pictures.
const BASE: u64 = 64 << 20;

/// The most that is kept of URLs.
const MOST_URLS: u64 = 16 << 20;

impl MemoryBudget {
    /// Shares out what the settings give.
    pub(super) fn of(capacity: &Capacity) -> Self {
        let total = capacity.memory.get();
        // One eighth stays free: allocators round up and fragment.
        let usable = total.saturating_sub(total / 8).saturating_sub(BASE).max(total / 4);
        let left = usable.saturating_sub(capacity.memory_cache.get()).max(usable / 4);
        let (sources, writes) = (left / 4, left / 8);
        let decodes = left - sources - writes;
        // Half: what is read next must not have to wait for what is given up.
        let kept = capacity.source_cache.map_or(sources / 2, ByteSize::get).min(sources);
        Self {
            renders: capacity.cpus,
            total: capacity.memory,
            cache: capacity.memory_cache,
            // Some 3 KiB each, for pictures that have 24 and more: none where no picture is kept.
            urls: ByteSize::new((capacity.memory_cache.get() / 8).min(MOST_URLS)),
            sources: ByteSize::new(sources),
            kept_sources: ByteSize::new(kept),
            writes: ByteSize::new(writes),
            decodes: ByteSize::new(decodes),
            decoded: ByteSize::new(capacity.decoded_cache.get().min(decodes)),
        }
    }
}
