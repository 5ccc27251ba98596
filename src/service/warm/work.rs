//! The work on one original: a batch, tried again where the trouble was passing. Tells how it
//! ended, never stops the walk.

use super::Warm;
use super::counts::End;
use super::look::Todo;
use crate::model::key::VariantKey;
use crate::service::batch::{Batch, Known};
use crate::service::failure::{ErrorCode, Failure};
use std::time::{Duration, Instant};

/// What one attempt on one original may take: many variants of a giant, waiting included.
const ATTEMPT: Duration = Duration::from_mins(3);

/// Attempts on one original.
const ATTEMPTS: u32 = 4;

/// Before the second attempt; four times as long before each further one.
const PAUSE: Duration = Duration::from_millis(500);

impl Warm {
    /// Makes what is missing of one original.
    pub(super) async fn make(&self, todo: Todo) -> End {
        if self.job.dry_run {
            return self.would_make(&todo).await;
        }
        let Todo { source, mut known, mut wishes, .. } = todo;
        let mut made = 0;
        for attempt in 1.. {
            let deadline = Instant::now() + ATTEMPT;
            let batch = Batch { source: source.clone(), wishes: wishes.clone(), known, deadline };
            let failure = match self.service.make_batch(batch).await {
                Ok(report) => {
                    made += report.rendered.len() as u64;
                    match report.failures.into_iter().next() {
                        None if made == 0 => return End::Present,
                        None => return End::Made(made),
                        Some((name, failure)) => {
                            let rendered =
                                |wish: &str| report.rendered.iter().any(|r| r.name == wish);
                            wishes.retain(|wish| !rendered(&wish.name));
                            (format!("{name}: "), failure)
                        }
                    }
                }
                Err(failure) => match failure.code {
                    // Gone since it was listed, a variant of ours, or no picture at all.
                    ErrorCode::SourceNotFound | ErrorCode::NotAnImage => return End::Skipped,
                    _ => (String::new(), failure),
                },
            };
            let (name, failure) = failure;
            if !is_passing(&failure) || attempt >= ATTEMPTS {
                return End::Failed(format!("{name}{}", told(&failure)), made);
            }
            tracing::debug!(key = %source.key, why = told(&failure), attempt, "trying again");
            tokio::time::sleep(PAUSE * 4_u32.pow(attempt - 1)).await;
            // Time has passed, and some of it may be there by now.
            known = Known::Nothing;
        }
        End::Failed("it was given up".to_owned(), made)
    }

    /// How many variants would be made.
    async fn would_make(&self, todo: &Todo) -> End {
        let Todo { source, known, wishes, .. } = todo;
        let meta = match known {
            Known::Missing(_) | Known::Nothing => return End::Made(wishes.len() as u64),
            Known::Version(meta) => meta,
        };
        let key = |transform| VariantKey::new(source.clone(), meta.version.clone(), transform);
        let wanted: Vec<_> =
            wishes.iter().map(|w| (key(&w.transform), w.placement.clone())).collect();
        match self.service.variants.present(&wanted, Instant::now() + ATTEMPT).await {
            Err(error) => End::Failed(error.to_string(), 0),
            Ok(present) => match present.iter().filter(|present| !**present).count() {
                0 => End::Present,
                missing => End::Made(missing as u64),
            },
        }
    }
}

/// Whether another attempt may go better.
const fn is_passing(failure: &Failure) -> bool {
    matches!(
        failure.code,
        ErrorCode::Overloaded
            | ErrorCode::DeadlinePassed
            | ErrorCode::OriginFailed
            | ErrorCode::OriginTimeout
    )
}

/// For the operator, so with what the public is not told.
fn told(failure: &Failure) -> String {
    match &failure.detail {
        None => failure.message.clone(),
        Some(detail) => format!("{} ({detail})", failure.message),
    }
}
