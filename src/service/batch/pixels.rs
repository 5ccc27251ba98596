//! The rendering of a batch: its plans in groups that begin with the same decode, one after the
//! other, every piece on a slot of its own. Equal plans are rendered once. Never holds a decoded
//! picture whose memory was not reserved.

use super::{Item, Store};
use crate::cpu::{Cost, Refused, Reservation};
use crate::model::pixels::Pixels;
use crate::model::source::{Header, Scale};
use crate::model::stage::Stage;
use crate::pipeline::plan::{Cost as PlanCost, Plan};
use crate::pipeline::{self, RenderError, Rendered};
use crate::service::failure::Failure;
use crate::service::story::Service;
use crate::variants::Variant;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One plan, and the variants that come of it.
struct Planned {
    plan: Plan,
    items: Vec<Item>,
}

/// A decoded picture with the memory it lies in.
struct Decoded {
    pixels: Pixels,
    memory: Reservation,
}

impl Service {
    /// Renders every item and hands it to the store.
    ///
    /// # Errors
    /// [`Failure`] of the original as a whole: nothing more can come of it.
    pub(super) async fn render_all(
        &self,
        original: &Bytes,
        header: Header,
        items: Vec<Item>,
        deadline: Instant,
        store: &mut Store<'_>,
    ) -> Result<(), Failure> {
        let mut groups: Vec<(Scale, Vec<Planned>)> = Vec::new();
        for item in items {
            let plan =
                match pipeline::plan(&header, &item.transform, &self.limits_of(&item.key.source)) {
                    Ok(plan) => plan,
                    Err(error) => {
                        let failure = Failure::from(error);
                        if failure.is_of_the_source() {
                            return Err(failure);
                        }
                        store.failed(item, failure);
                        continue;
                    }
                };
            let group = match groups.iter_mut().find(|(scale, _)| *scale == plan.scale) {
                Some((_, group)) => group,
                None => &mut groups.push_mut((plan.scale, Vec::new())).1,
            };
            match group.iter_mut().find(|planned| planned.plan == plan) {
                Some(planned) => planned.items.push(item),
                None => group.push(Planned { plan, items: vec![item] }),
            }
        }
        for (scale, group) in groups {
            let costs = group.iter().map(|planned| planned.plan.cost);
            let together = PlanCost::of_shared(costs);
            let budget = self.cpu.admission().budget();
            if together.bytes <= budget || group.len() == 1 {
                self.render_group(original, header, scale, group, deadline, store).await?;
                continue;
            }
            // Not enough memory to keep the picture for all of them: each decodes its own.
            for planned in group {
                self.render_group(original, header, scale, vec![planned], deadline, store).await?;
            }
        }
        Ok(())
    }

    /// One decode and every plan that begins with it.
    async fn render_group(
        &self,
        original: &Bytes,
        header: Header,
        scale: Scale,
        group: Vec<Planned>,
        deadline: Instant,
        store: &mut Store<'_>,
    ) -> Result<(), Failure> {
        let cost = PlanCost::of_shared(group.iter().map(|planned| planned.plan.cost));
        let cost = Cost { bytes: cost.bytes, pixels: cost.pixels };
        let asked = Instant::now();
        let (memory, slot) = match self.cpu.admission().admit_background(cost, deadline).await {
            Ok(admitted) => admitted,
            Err(refused @ Refused::TooCostly { .. }) => {
                for item in group.into_iter().flat_map(|planned| planned.items) {
                    store.failed(item, refused.into());
                }
                return Ok(());
            }
            Err(refused) => return Err(refused.into()),
        };
        self.metrics.observe(Stage::Queue, asked.elapsed(), None);
        let original = original.clone();
        let decode = move || {
            let begun = Instant::now();
            let pixels = pipeline::decode(&original, &header, scale);
            (pixels.map(|pixels| Decoded { pixels, memory }), begun.elapsed())
        };
        let (decoded, time) = self.cpu.run(slot, decode).await?;
        self.metrics.observe(Stage::Decode, time, None);
        let mut decoded = Some(Arc::new(decoded?));
        let last = group.len().saturating_sub(1);
        for (index, Planned { plan, items }) in group.into_iter().enumerate() {
            let Some(shared) = decoded.clone() else { break };
            if index == last {
                // The last one has the picture to itself, and its buffer goes back to its thread.
                decoded = None;
            }
            let rendered = self.render_one(shared, plan, deadline).await;
            let rendered = match rendered {
                Ok(rendered) => rendered,
                Err(failure) => {
                    for item in items {
                        store.failed(item, failure.clone());
                    }
                    continue;
                }
            };
            let Rendered { format, size, body } = rendered;
            let body = Bytes::from(body.into_boxed_slice());
            let variant = Arc::new(Variant { format, size, source_frames: header.frames, body });
            store.made(format);
            for item in items {
                store.take(item, Arc::clone(&variant)).await;
            }
        }
        Ok(())
    }

    async fn render_one(
        &self,
        decoded: Arc<Decoded>,
        plan: Plan,
        deadline: Instant,
    ) -> Result<Rendered, Failure> {
        let asked = Instant::now();
        let slot = decoded.memory.next_slot(deadline).await?;
        self.metrics.observe(Stage::Queue, asked.elapsed(), None);
        let (rendered, stages) = self.cpu.run(slot, move || obey(decoded, &plan)).await?;
        for (stage, time) in stages {
            self.metrics.observe(stage, time, None);
        }
        Ok(rendered?)
    }
}

/// One plan on a shared picture, or on one's own once nobody else has it.
fn obey(
    decoded: Arc<Decoded>,
    plan: &Plan,
) -> (Result<Rendered, RenderError>, Vec<(Stage, Duration)>) {
    let mut stages = Vec::with_capacity(2);
    let mut last = Instant::now();
    let finished = |stage| {
        let now = Instant::now();
        stages.push((stage, now - last));
        last = now;
    };
    let rendered = match Arc::try_unwrap(decoded) {
        Ok(Decoded { pixels, memory }) => {
            let rendered = pipeline::run_decoded(Cow::Owned(pixels), plan, finished);
            drop(memory);
            rendered
        }
        Err(shared) => pipeline::run_decoded(Cow::Borrowed(&shared.pixels), plan, finished),
    };
    (rendered, stages)
}
