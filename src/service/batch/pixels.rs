//! The rendering of a batch: its plans in groups that begin with the same decode, each a render of
//! its own that shares pictures as those of requests do. The first of a group decodes; the rest
//! follow, as many at a time as there are idle slots for background work. Equal plans are rendered
//! once. Never holds a picture itself: it says what it will want.

use super::{Item, Store};
use crate::cpu::Refused;
use crate::decoded::Want;
use crate::model::source::Header;
use crate::pipeline::{self, Decode, Plan};
use crate::service::failure::Failure;
use crate::service::render::{Order, Render, Unmade, pictures_of, render_ahead};
use crate::service::story::Service;
use crate::variants::Since;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Instant;

/// What a batch is made of.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) body: Bytes,
    pub(super) header: Header,
    pub(super) since: Since,
    pub(super) deadline: Instant,
}

/// One plan, and the variants that come of it, never none.
struct Planned {
    plan: Plan,
    items: Vec<Item>,
    /// The pictures it begins with are kept until it has run.
    wants: Vec<Want>,
}

impl Service {
    /// Renders every item and hands it to the store.
    ///
    /// # Errors
    /// [`Failure`] of the original as a whole: nothing more can come of it.
    pub(super) async fn render_all(
        &self,
        original: &Original,
        items: Vec<Item>,
        store: &mut Store<'_>,
    ) -> Result<(), Failure> {
        let mut groups: Vec<(Decode, Vec<Planned>)> = Vec::new();
        for item in items {
            let limits = self.limits_of(&item.key.source);
            let plan = match pipeline::plan(&original.header, &item.transform, &limits) {
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
            let group = match groups.iter_mut().find(|(decode, _)| *decode == plan.decode()) {
                Some((_, group)) => group,
                None => &mut groups.push_mut((plan.decode(), Vec::new())).1,
            };
            match group.iter_mut().find(|planned| planned.plan == plan) {
                Some(planned) => planned.items.push(item),
                None => group.push(Planned { plan, items: vec![item], wants: Vec::new() }),
            }
        }
        for (_, group) in groups {
            self.render_group(original, group, store).await?;
        }
        Ok(())
    }

    /// Every plan that begins with the same decode.
    async fn render_group(
        &self,
        original: &Original,
        mut group: Vec<Planned>,
        store: &mut Store<'_>,
    ) -> Result<(), Failure> {
        if group.len() > 1 {
            for Planned { plan, items, wants } in &mut group {
                let Some(order) = items.first().map(|item| self.order(original, item)) else {
                    continue;
                };
                let (decoded, shaped) = pictures_of(&order, plan);
                let keys = [Some(decoded), shaped].into_iter().flatten();
                wants.extend(keys.map(|key| self.pictures.want(&key)));
            }
        }
        let mut group = group.into_iter();
        let mut running = FuturesUnordered::new();
        running.extend(group.next().map(|first| self.render_one(original, first)));
        let mut made_any = false;
        while let Some((items, rendered)) = running.next().await {
            match rendered {
                Ok(render) => {
                    made_any = true;
                    for (stage, time) in render.timings {
                        self.metrics.observe(stage, time, None);
                    }
                    let variant = Arc::new(render.variant);
                    store.made(variant.format);
                    for item in items {
                        store.take(item, Arc::clone(&variant)).await;
                    }
                }
                Err(Unmade::Failed(failure)) if failure.is_of_the_source() => return Err(failure),
                // There was no room for it; where nothing was made there is none for the others.
                Err(Unmade::Refused(refused)) if !made_any && !is_of_one(refused) => {
                    return Err(refused.into());
                }
                Err(unmade) => {
                    let failure = Failure::from(unmade);
                    for item in items {
                        store.failed(item, failure.clone());
                    }
                }
            }
            while running.len() < self.cpu.admission().background_slots()
                && let Some(next) = group.next()
            {
                running.push(self.render_one(original, next));
            }
        }
        Ok(())
    }

    fn order<'a>(&self, original: &Original, item: &'a Item) -> Order<'a> {
        Order {
            original: original.body.clone(),
            key: &item.key,
            generation: self.variants.generation(&item.key, original.since),
            wish: &item.transform,
            limits: self.limits_of(&item.key.source),
            deadline: original.deadline,
        }
    }

    async fn render_one(
        &self,
        original: &Original,
        planned: Planned,
    ) -> (Vec<Item>, Result<Render, Unmade>) {
        let Planned { plan, items, wants } = planned;
        let Some(item) = items.first() else {
            let failure = Failure::internal("a plan of a batch is for nothing");
            return (items, Err(Unmade::Failed(failure)));
        };
        let order = self.order(original, item);
        let rendered = render_ahead(&self.cpu, &self.pictures, order, original.header, plan).await;
        drop(wants);
        (items, rendered)
    }
}

/// Whether the refusal is about this render alone.
const fn is_of_one(refused: Refused) -> bool {
    matches!(refused, Refused::TooCostly { .. })
}
