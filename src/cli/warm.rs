//! `lenslet warm`: the variants that are made ahead, made of everything there is already. By the
//! settings of the service and in a process of its own. Shows how far it is; the work itself is
//! the service's.

use super::args::WarmArgs;
use super::{CONFIG, FAILED, USAGE, out};
use crate::config::Settings;
use crate::model::key::OriginName;
use crate::service::ahead::Ahead;
use crate::service::job::JobListener;
use crate::service::run::signal;
use crate::service::territory::Territory;
use crate::service::warm::{Counts, Ended, Job, Tally, Warm};
use crate::service::workshop::{Work, Workshop, workshop};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Originals under way for every CPU: while one renders, others are fetched and stored.
const PER_CPU: usize = 4;

/// Between two looks of the bar, and between two lines of the log.
const BAR_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Warms; 0 if nothing failed and nothing is left.
pub(super) fn run(args: &WarmArgs, settings: &Settings) -> ExitCode {
    if settings.stores.variants.is_none() {
        out::complain("LENSLET_VARIANTS: is not set, so nothing that is made would be kept");
        return ExitCode::from(CONFIG);
    }
    let job = match job(args, settings) {
        Ok(job) => job,
        Err(why) => {
            out::complain(&why);
            return ExitCode::from(USAGE);
        }
    };
    let work = Work::Batches { originals: job.concurrency };
    let Workshop { service, runtime, mut metrics } = match workshop(settings, work) {
        Ok(workshop) => workshop,
        Err(error) => {
            out::complain(&error.to_string());
            return ExitCode::from(FAILED);
        }
    };
    let warm = Warm::new(Arc::clone(&service), Territory::of(settings), job);
    metrics.add(warm.counts());
    let scrape = Box::new(move || {
        service.refresh_gauges();
        metrics.encode()
    });
    let listener = JobListener::start(settings.http.admin_listen, scrape);
    match &listener {
        Ok(listener) => tracing::info!(admin = %listener.address, "warming"),
        Err(error) => {
            let admin = settings.http.admin_listen;
            tracing::info!(%admin, %error, "warming; metrics are not served");
        }
    }
    let begun = Instant::now();
    let ended = runtime.block_on(async {
        let ended = watched(&warm).await;
        if let Ok(listener) = listener {
            listener.stop().await;
        }
        ended
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    tell(&ended, warm.counts(), begun.elapsed(), args.dry_run)
}

/// What the command line asks for.
///
/// # Errors
/// One sentence about the first part of it that cannot be had.
fn job(args: &WarmArgs, settings: &Settings) -> Result<Job, String> {
    let origin = match &args.origin {
        None => OriginName::default_origin(),
        Some(name) => OriginName::new(name)
            .ok_or_else(|| format!("--origin: {name:?} cannot be the name of an origin"))?,
    };
    let known: Vec<&str> = settings.stores.origins.iter().map(|o| o.name.as_str()).collect();
    if !known.contains(&origin.as_str()) {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(format!("no origin is called {origin}; these are: {known}"));
    }
    let ahead = if args.presets.is_empty() && args.sizes.is_empty() {
        Ahead::of(settings)
    } else {
        Ahead::chosen(settings, &args.presets, &args.sizes)
            .map_err(|why| format!("the command line {why}"))?
    };
    if ahead.is_empty() {
        return Err("nothing to make: name --presets or --sizes, or set LENSLET_PREGENERATE".into());
    }
    let concurrency =
        args.concurrency.map_or(settings.capacity.cpus * PER_CPU, |n| usize::from(n.get()));
    Ok(Job {
        origin,
        prefix: args.prefix.clone(),
        ahead,
        shard: super::shard(args.shard.as_deref())?,
        concurrency,
        restart: args.restart,
        dry_run: args.dry_run,
    })
}

/// Runs to the end, or to a signal, with something to look at meanwhile.
async fn watched(warm: &Warm) -> Ended {
    let stop = async {
        signal().await;
        tracing::info!("stopping; what is under way is finished first");
    };
    let run = warm.run(stop);
    if std::io::stderr().is_terminal() {
        let counting = warm.clone();
        // Listed once more, for the bar alone; it ends with the runtime.
        tokio::spawn(async move { counting.count_total().await });
        tokio::select! {
            ended = run => ended,
            () = bar(warm.counts()) => Ended::Stopped,
        }
    } else {
        tokio::select! {
            ended = run => ended,
            () = lines(warm.counts()) => Ended::Stopped,
        }
    }
}

/// A bar on the terminal, for ever.
async fn bar(counts: &Counts) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let unknown = "{elapsed_precise} {spinner} {pos} originals, {per_sec}, {msg}";
    let known = "{elapsed_precise} {bar:30} {pos}/{len} originals, {per_sec}, {eta} left, {msg}";
    // Both are constants; the default style shows the same numbers.
    let style = |template| {
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    };
    bar.set_style(style(unknown));
    // What an earlier run did is no part of the rate of this one.
    bar.set_position(counts.tally().seen());
    bar.reset_eta();
    loop {
        if bar.length().is_none()
            && let Some(total) = counts.total()
        {
            bar.set_length(total);
            bar.set_style(style(known));
        }
        let Tally { made, present, failed, .. } = counts.tally();
        bar.set_message(format!("{made} made, {present} there, {failed} failed"));
        bar.set_position(counts.tally().seen());
        bar.tick();
        tokio::time::sleep(BAR_EVERY).await;
    }
}

/// A line in the log now and then, for ever.
async fn lines(counts: &Counts) {
    let (mut before, mut at) = (counts.tally(), Instant::now());
    loop {
        tokio::time::sleep(LINE_EVERY).await;
        let (now, tally) = (Instant::now(), counts.tally());
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_second = (tally.seen() - before.seen()) as f64 / (now - at).as_secs_f64();
        tracing::info!(
            originals = tally.seen(),
            made = tally.made,
            present = tally.present,
            skipped = tally.skipped,
            failed = tally.failed,
            variants = tally.variants,
            under_way = counts.under_way(),
            per_second = (per_second * 10.0).round() / 10.0,
            "warming"
        );
        (before, at) = (tally, now);
    }
}

/// Says how it ended.
fn tell(ended: &Ended, counts: &Counts, took: Duration, dry_run: bool) -> ExitCode {
    let Tally { made, present, skipped, failed, variants } = counts.tally();
    let done = if dry_run { "would be made" } else { "made" };
    out::say(&format!(
        "{variants} variants {done} of {made} originals in {:.1} s; {present} had everything, \
         {skipped} objects are no originals, {failed} failed",
        took.as_secs_f64()
    ));
    let failures = counts.failures();
    for failure in &failures {
        out::complain(&format!("failed: {}: {}", failure.key, failure.why));
    }
    if let Some(more) = failed.checked_sub(failures.len() as u64).filter(|more| *more > 0) {
        out::complain(&format!("failed: {more} more"));
    }
    match ended {
        Ended::Finished if failed == 0 => ExitCode::SUCCESS,
        Ended::Finished => ExitCode::from(FAILED),
        Ended::Stopped => {
            out::complain("stopped before the end; the same command goes on from here");
            ExitCode::from(FAILED)
        }
        Ended::Failed(why) => {
            out::complain(&format!("given up: {why}; the same command goes on from here"));
            ExitCode::from(FAILED)
        }
    }
}
