//! Floor 1: what to do with a picture. `plan` decides every size, rectangle and cost; `run` is
//! the list of steps; `ops` holds one step per file. Never looks at a URL, a clock or a thread.

#![deny(clippy::arithmetic_side_effects, reason = "sizes come from strangers")]

#[expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "samples of 8 and 16 bits and indices into buffers whose length was checked"
)]
pub mod ops;
pub mod plan;
pub mod run;

pub use plan::{Decode, Plan, PlanError, plan};
pub use run::{RenderError, Rendered, decode, encode, run, run_decoded, shape};
