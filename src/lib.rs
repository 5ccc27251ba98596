//! Lenslet: an image URL in, the right bytes out, kept in a bucket for the next request.
//!
//! Four floors, each of which may only look down (`tests/it/house.rs` enforces it):
//! `model` (nouns) ← `dialect`, `codec`, `pipeline` (pure functions) ← `origin`, `variants`,
//! `flight`, `decoded`, `cpu` (I/O and admission) ← `service`, `config`, `cli`, `telemetry` (the process).
//! The pure floors know no status code, clock, tokio or tracing.

pub mod cli;
pub mod codec;
pub mod config;
pub mod cpu;
pub mod decoded;
pub mod dialect;
pub mod flight;
pub mod model;
pub mod origin;
pub mod pipeline;
pub mod service;
pub mod telemetry;
pub mod variants;
