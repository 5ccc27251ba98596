//! The integration tests, one binary: what holds across floors, against real stores and sockets.
//! A module per subject; what a single function does is tested beside it in `src`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "a test that meets the unexpected ends; inputs are drawn in floating point"
)]

mod app;
mod client;
mod docs;
mod events;
mod golden;
mod house;
mod planar;
mod purge;
mod requests;
#[path = "../s3wire/server.rs"]
mod s3wire;
mod stores;
mod telemetry;
mod wire;
