//! The stages of a request, as named in `Server-Timing`, metrics and logs. Never measures.

/// A part of the work whose time is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Learning which version of the original lies there.
    Version,
    /// Looking the variant up in the stores.
    Lookup,
    /// Fetching the original.
    Fetch,
    /// Waiting for a render slot and memory.
    Queue,
    /// Bytes to pixels, colour included.
    Decode,
    /// Pixels to pixels.
    Resize,
    /// Pixels to bytes.
    Encode,
    /// Writing the variant back, where the answer waits for it.
    Store,
}

impl Stage {
    /// All, in the order they happen.
    pub const ALL: [Self; 8] = [
        Self::Version,
        Self::Lookup,
        Self::Fetch,
        Self::Queue,
        Self::Decode,
        Self::Resize,
        Self::Encode,
        Self::Store,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Lookup => "lookup",
            Self::Fetch => "fetch",
            Self::Queue => "queue",
            Self::Decode => "decode",
            Self::Resize => "resize",
            Self::Encode => "encode",
            Self::Store => "store",
        }
    }
}
