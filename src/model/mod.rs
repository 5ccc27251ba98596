//! Floor 0: the nouns of an image service. Never does I/O, reads no clock, knows no HTTP.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

pub mod canonical;
pub mod color;
pub mod draft;
pub mod format;
#[cfg_attr(
    not(test),
    expect(clippy::arithmetic_side_effects, reason = "two sides of 32 bits multiply within 64")
)]
pub mod geometry;
#[cfg_attr(
    not(test),
    expect(clippy::arithmetic_side_effects, reason = "lengths of names that are in memory add up")
)]
pub mod key;
pub mod limits;
pub mod lru;
#[cfg_attr(
    not(test),
    expect(
        clippy::arithmetic_side_effects,
        reason = "the product was checked when the picture was made"
    )
)]
pub mod pixels;
#[cfg_attr(
    not(test),
    expect(
        clippy::arithmetic_side_effects,
        reason = "the sum was checked when the planes were made"
    )
)]
pub mod planes;
pub mod shard;
pub mod source;
pub mod stage;
pub mod transform;
#[cfg_attr(
    not(test),
    expect(
        clippy::arithmetic_side_effects,
        reason = "digits are counted before they are summed, products have 128 bits"
    )
)]
pub mod units;
