//! An original and a wish → a variant: probe, plan, a place in the queue, memory, the pool. The
//! original's header is read before anything is reserved; nothing is decoded that was not paid
//! for. Never fetches, never stores.

use super::failure::Failure;
use crate::codec;
use crate::cpu::{Cost, Cpu};
use crate::model::limits::Limits;
use crate::model::source::Header;
use crate::model::stage::Stage;
use crate::model::transform::Transform;
use crate::pipeline::{self, Rendered};
use crate::variants::Variant;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Time spent per stage, in the order it was spent.
pub type Timings = Vec<(Stage, Duration)>;

/// A render with what the log and `source.json` want to know of it.
#[derive(Debug, Clone)]
pub struct Render {
    /// The result.
    pub variant: Variant,
    /// The original's header.
    pub header: Header,
    /// The name of the original's colour profile, where it has one.
    pub profile: Option<String>,
    /// Where the time went.
    pub timings: Timings,
}

/// Renders `original` on the pool. `committed` is called once decoding is sure to begin: from
/// then on the work is finished even if nobody waits for it.
///
/// # Errors
/// [`Failure`] of the source, the limits, the queue or the deadline.
pub async fn render(
    cpu: &Cpu,
    limits: Limits,
    original: Bytes,
    wish: &Transform,
    deadline: Instant,
    committed: impl FnOnce(),
) -> Result<Render, Failure> {
    let header = codec::probe(&original)?;
    let plan = pipeline::plan(&header, wish, &limits)?;
    let asked = Instant::now();
    let cost = Cost { bytes: plan.cost.bytes, pixels: plan.cost.pixels };
    let ticket = cpu.admit(cost, deadline).await?;
    let queued = asked.elapsed();
    committed();
    let job = move || {
        let mut timings: Timings = Vec::with_capacity(8);
        let mut last = Instant::now();
        let rendered = pipeline::run(&original, &header, &plan, |stage| {
            let now = Instant::now();
            timings.push((stage, now - last));
            last = now;
        });
        let profile = codec::profile_name(&original, &header);
        // The original is freed here, on the pool, before the answer is built.
        drop(original);
        (rendered, profile, timings)
    };
    let (rendered, profile, stages) = cpu.run(ticket, job).await?;
    let Rendered { format, size, body } = rendered?;
    let mut timings = vec![(Stage::Queue, queued)];
    timings.extend(stages);
    // Encoders overshoot; the memory tier weighs what is used, so nothing else may be held.
    let body = Bytes::from(body.into_boxed_slice());
    let variant = Variant { format, size, source_frames: header.frames, body };
    Ok(Render { variant, header, profile, timings })
}
