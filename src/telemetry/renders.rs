//! What is counted about renders and the stages around them. Never counts a request: many may
//! wait for one render.

use super::metrics::{Label, Labels, Part, Traced, exemplar};
use super::trace::TraceId;
use crate::model::format::{Format, SourceFormat};
use crate::model::stage::Stage;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::{Duration, SystemTime};

/// 0.1 ms to 13 s: a stage may be much shorter than a request.
fn stage_buckets() -> Traced {
    Traced::new(exponential_buckets(0.000_1, 2.0, 18))
}

/// 1 KiB to 256 MiB, by four.
fn size_buckets() -> Histogram {
    Histogram::new(exponential_buckets(1024.0, 4.0, 10))
}

/// How a render ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a picture.
    Ok,
    /// The wish cannot be had: a limit, a contradiction.
    ClientError,
    /// The original cannot be had or read.
    SourceError,
    /// Past its deadline.
    Timeout,
    /// Not begun, for want of room.
    Shed,
    /// A bug of ours or of a codec.
    Panic,
}

impl Outcome {
    const ALL: [Self; 6] =
        [Self::Ok, Self::ClientError, Self::SourceError, Self::Timeout, Self::Shed, Self::Panic];

    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::SourceError => "source_error",
            Self::Timeout => "timeout",
            Self::Shed => "shed",
            Self::Panic => "panic",
        }
    }
}

/// What is counted about renders. Clones count into the same.
#[derive(Debug, Clone)]
pub struct RenderMetrics {
    /// Seconds, by `stage`.
    stages: Family<Label, Traced>,
    /// By `format` of the result (or other) and `outcome`.
    transforms: Family<Labels, Counter>,
    /// By `format` of the original.
    source_bytes: Family<Label, Histogram>,
    /// By `format` of the result.
    variant_bytes: Family<Label, Histogram>,
}

impl Default for RenderMetrics {
    fn default() -> Self {
        let metrics = Self {
            stages: Family::new_with_constructor(stage_buckets),
            transforms: Family::default(),
            source_bytes: Family::new_with_constructor(size_buckets),
            variant_bytes: Family::new_with_constructor(size_buckets),
        };
        // A series that exists from the start has a rate from the first event.
        for stage in Stage::ALL {
            drop(metrics.stages.get_or_create(&[("stage", stage.name())]));
        }
        for outcome in Outcome::ALL {
            let labels = [("format", "other"), ("outcome", outcome.name())];
            drop(metrics.transforms.get_or_create(&labels));
        }
        for family in [&metrics.source_bytes, &metrics.variant_bytes] {
            drop(family.get_or_create(&[("format", Format::Jpeg.name())]));
        }
        metrics
    }
}

impl RenderMetrics {
    /// Counts the time of one stage; `trace` is that of a recorded request it was spent for.
    pub fn observe(&self, stage: Stage, time: Duration, trace: Option<TraceId>) {
        let (trace, at) = (exemplar(trace), trace.map(|_| SystemTime::now()));
        let histogram = self.stages.get_or_create(&[("stage", stage.name())]);
        histogram.observe(time.as_secs_f64(), trace, at);
    }

    /// Counts one render; `format` is the result's, where it was known.
    pub fn ended(&self, format: Option<Format>, outcome: Outcome) {
        let format = ("format", format.map_or("other", Format::name));
        self.transforms.get_or_create(&[format, ("outcome", outcome.name())]).inc();
    }

    /// Counts the bytes of an original that was read and of what was made of it.
    pub fn made(&self, source: SourceFormat, source_bytes: u64, format: Format, bytes: u64) {
        for (family, name, bytes) in [
            (&self.source_bytes, source.name(), source_bytes),
            (&self.variant_bytes, format.name(), bytes),
        ] {
            #[expect(clippy::cast_precision_loss, reason = "a sum of sizes needs no more bits")]
            family.get_or_create(&[("format", name)]).observe(bytes as f64);
        }
    }
}

impl Part for RenderMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "stage_duration",
            "Time of one stage of a request",
            Unit::Seconds,
            self.stages.clone(),
        );
        registry.register("transforms", "Renders by their end", self.transforms.clone());
        let bytes = Unit::Bytes;
        let sources = self.source_bytes.clone();
        registry.register_with_unit("source", "Size of originals rendered", bytes, sources);
        let variants = self.variant_bytes.clone();
        registry.register_with_unit("variant", "Size of variants made", Unit::Bytes, variants);
    }
}
