//! Floor 2: decoded pictures that several renders share. Renders of one original that begin with
//! the same decode wait for one of them to do it, and it is kept for a while where there is reason
//! to think that more will come. A picture is the same whoever decoded it, so nothing here changes
//! a byte of a result.
//!
//! **What is kept, and why.** A picture that somebody waits for is kept until the last of them has
//! it. Beyond that it is kept, least recently used first out, only if another decode of the same
//! original was seen lately: what is asked for once would push out what is asked for often, and a
//! kept picture takes its buffer with it, whose pages the next decode would have to fault in anew.
//!
//! **Memory.** A picture lies in memory of the one budget of renders, taken out of the ticket of
//! the render that decoded it, and holds it until the last render has let go of it. When a render
//! finds no room, pictures go before it waits, those that are waited for last; who waited for them
//! decodes anew. Nobody who waits holds a picture, so no circle can close.

mod metrics;
mod picture;
mod recent;
mod sharing;
#[cfg(test)]
mod tests;

pub use metrics::DecodedMetrics;
pub use picture::{Picture, PictureKey};
pub use sharing::{Begin, Ended, Ending, Lead, Pictures, Published, Want};
