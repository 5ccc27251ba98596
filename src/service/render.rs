//! An original and a wish → a variant: probe, plan, a place in the queue, memory, the pool. The
//! original's header is read before anything is reserved; nothing is decoded that was not paid
//! for, nor twice at a time (`sharing`). Never fetches, never stores.

use super::failure::Failure;
use super::sharing::{Beginning, Class, Sharing, Start};
use crate::codec::{self, Encoding};
use crate::cpu::{Cost, Cpu, Refused, Ticket};
use crate::decoded::{Lead, PictureKey, Pictures, Published};
use crate::model::key::VariantKey;
use crate::model::limits::Limits;
use crate::model::pixels::Decoded;
use crate::model::source::Header;
use crate::model::stage::Stage;
use crate::model::transform::Transform;
use crate::pipeline::{self, Plan, RenderError, Rendered};
use crate::variants::Variant;
use bytes::Bytes;
use std::borrow::Cow;
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

/// What is to be rendered.
#[derive(Debug, Clone)]
pub(super) struct Order<'a> {
    pub(super) original: Bytes,
    /// Of the bytes read; says which pictures may be shared.
    pub(super) key: &'a VariantKey,
    /// The last purge before the work.
    pub(super) generation: u64,
    pub(super) wish: &'a Transform,
    pub(super) limits: Limits,
    pub(super) deadline: Instant,
}

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unmade {
    /// It was not begun.
    Refused(Refused),
    /// It failed.
    Failed(Failure),
}

impl From<Unmade> for Failure {
    fn from(unmade: Unmade) -> Self {
        match unmade {
            Unmade::Refused(refused) => refused.into(),
            Unmade::Failed(failure) => failure,
        }
    }
}

/// Renders on the pool for a request. `committed` is called once decoding or encoding is sure to
/// begin: from then on the work is finished even if nobody waits for it.
///
/// # Errors
/// [`Failure`] of the source, the limits, the queue or the deadline.
pub(super) async fn render(
    cpu: &Cpu,
    pictures: &Pictures,
    order: Order<'_>,
    committed: impl Fn(),
) -> Result<Render, Failure> {
    let header = codec::probe(&order.original)?;
    let plan = pipeline::plan(&header, order.wish, &order.limits)?;
    let asked = Instant::now();
    let start = if pictures.is_on() {
        sharing(cpu, pictures, &order, &plan, Class::Request).start().await?
    } else {
        let cost = Cost { bytes: plan.cost.bytes, pixels: plan.cost.pixels };
        Start::alone(cpu.admit(cost, order.deadline).await?)
    };
    committed();
    finish(cpu, pictures, order.original, header, plan, start, asked).await
}

/// The same for a plan of a batch, in the background class. Pictures are shared whatever the
/// settings keep: that more is to come is known.
///
/// # Errors
/// [`Unmade`].
pub(super) async fn render_ahead(
    cpu: &Cpu,
    pictures: &Pictures,
    order: Order<'_>,
    header: Header,
    plan: Plan,
) -> Result<Render, Unmade> {
    let asked = Instant::now();
    let start = sharing(cpu, pictures, &order, &plan, Class::Background).start().await?;
    let rendered = finish(cpu, pictures, order.original, header, plan, start, asked).await;
    rendered.map_err(Unmade::Failed)
}

/// Which pictures a plan begins with: the decoded one, and the one that is encoded.
pub(super) fn pictures_of(order: &Order<'_>, plan: &Plan) -> (PictureKey, Option<PictureKey>) {
    let decoded = PictureKey {
        source: order.key.source.clone(),
        version: order.key.version.clone(),
        generation: order.generation,
        decode: plan.decode(),
        shape: None,
    };
    let shaped = plan.shape().map(|shape| PictureKey { shape: Some(shape), ..decoded.clone() });
    (decoded, shaped)
}

fn sharing<'a>(
    cpu: &'a Cpu,
    pictures: &'a Pictures,
    order: &Order<'_>,
    plan: &Plan,
    class: Class,
) -> Sharing<'a> {
    let (decoded, shaped) = pictures_of(order, plan);
    Sharing { cpu, pictures, class, deadline: order.deadline, cost: plan.cost, decoded, shaped }
}

async fn finish(
    cpu: &Cpu,
    pictures: &Pictures,
    original: Bytes,
    header: Header,
    plan: Plan,
    start: Start,
    asked: Instant,
) -> Result<Render, Failure> {
    let queued = asked.elapsed();
    let pictures = pictures.clone();
    let Start { ticket, from } = start;
    let job = move |ticket: &mut Ticket| {
        let mut clock = Clock::start();
        let work = Work { original: &original, header: &header, plan: &plan, pictures: &pictures };
        let rendered = work.run(from, ticket, &mut clock);
        let profile = codec::profile_name(&original, &header);
        // The original is freed here, on the pool, before the answer is built.
        drop(original);
        (rendered, profile, clock.timings)
    };
    let (rendered, profile, stages) = cpu.run_with(ticket, job).await?;
    let Rendered { format, size, body } = rendered?;
    let mut timings = vec![(Stage::Queue, queued)];
    timings.extend(stages);
    // Encoders overshoot; the memory tier weighs what is used, so nothing else may be held.
    let body = Bytes::from(body.into_boxed_slice());
    let variant = Variant { format, size, source_frames: header.frames, body };
    Ok(Render { variant, header, profile, timings })
}

/// What a job on the pool works with.
struct Work<'a> {
    original: &'a [u8],
    header: &'a Header,
    plan: &'a Plan,
    pictures: &'a Pictures,
}

impl Work<'_> {
    fn run(
        &self,
        from: Beginning,
        ticket: &mut Ticket,
        clock: &mut Clock,
    ) -> Result<Rendered, RenderError> {
        match from {
            Beginning::Shaped(picture) => {
                let encoding = self.plan.choice.settle(true);
                encode(Cow::Borrowed(picture.samples()), encoding, clock)
            }
            Beginning::Decoded(picture, shape) => {
                self.obey(Cow::Borrowed(picture.samples()), shape, ticket, clock)
            }
            Beginning::Original { decode, shape } => {
                self.pictures.metrics().decodes(self.plan.scale).inc();
                let decoded = pipeline::decode(self.original, self.header, self.plan.decode());
                clock.finished(Stage::Decode);
                let samples = match decoded {
                    Ok(samples) => samples,
                    Err(error) => {
                        for lead in [decode, shape].into_iter().flatten() {
                            lead.fail(error.clone());
                        }
                        return Err(error);
                    }
                };
                let published = match decode {
                    Some(lead) => lead.publish(samples, ticket, self.plan.cost.rest),
                    None => Published::Own(samples),
                };
                match published {
                    Published::Own(samples) => self.obey(Cow::Owned(samples), shape, ticket, clock),
                    Published::Shared(picture) => {
                        self.obey(Cow::Borrowed(picture.samples()), shape, ticket, clock)
                    }
                }
            }
        }
    }

    /// The stages after the decode.
    fn obey(
        &self,
        decoded: Cow<'_, Decoded>,
        lead: Option<Lead>,
        ticket: &mut Ticket,
        clock: &mut Clock,
    ) -> Result<Rendered, RenderError> {
        let (shaped, encoding) = match pipeline::shape(decoded, self.plan) {
            Ok(shaped) => shaped,
            Err(error) => {
                if let Some(lead) = lead {
                    lead.fail(error.clone());
                }
                return Err(error);
            }
        };
        clock.finished(Stage::Resize);
        match (lead, shaped) {
            (Some(lead), Cow::Owned(samples)) => {
                match lead.publish(samples, ticket, self.plan.cost.encode) {
                    Published::Own(samples) => encode(Cow::Owned(samples), encoding, clock),
                    Published::Shared(picture) => {
                        encode(Cow::Borrowed(picture.samples()), encoding, clock)
                    }
                }
            }
            (_, shaped) => encode(shaped, encoding, clock),
        }
    }
}

fn encode(
    shaped: Cow<'_, Decoded>,
    encoding: Encoding,
    clock: &mut Clock,
) -> Result<Rendered, RenderError> {
    pipeline::encode(shaped, encoding, |stage| clock.finished(stage))
}

/// Measures stages one after the other.
struct Clock {
    timings: Timings,
    last: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { timings: Vec::with_capacity(8), last: Instant::now() }
    }

    fn finished(&mut self, stage: Stage) {
        let now = Instant::now();
        self.timings.push((stage, now - self.last));
        self.last = now;
    }
}
