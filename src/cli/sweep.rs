//! `lenslet sweep`: clears up the store of variants, beside a live service or without one. Shows
//! how far it is on standard error, what came of it on standard output. Never decides what goes.

use super::args::SweepArgs;
use super::{FAILED, USAGE, out};
use crate::config::{Layout, Settings, StorePlace};
use crate::model::key::{OriginName, SourceId};
use crate::origin::{OriginError, Origins};
use crate::service::workshop;
use crate::variants::{Believe, Count, Standing, Sweep, Tally};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Between two lines of progress where no terminal is.
const LINES: Duration = Duration::from_secs(10);

/// How long an object must have been there to be judged by what its original is now.
const SETTLED: Duration = Duration::from_mins(5);

/// Sweeps; exit 0 if everything that was to go is gone, 1 if not, 64 for what cannot be swept.
pub(super) fn run(args: &SweepArgs, settings: &Settings) -> ExitCode {
    let Some(at) = &settings.stores.variants else {
        out::complain("LENSLET_VARIANTS is not set, so there is no store to sweep");
        return ExitCode::from(USAGE);
    };
    let unknown = args
        .origin
        .as_ref()
        .filter(|name| !settings.stores.origins.iter().any(|origin| origin.name == **name));
    if let Some(name) = unknown {
        let known: Vec<&str> = settings.stores.origins.iter().map(|o| o.name.as_str()).collect();
        out::complain(&format!("no origin is called {name:?}; there is {}", known.join(", ")));
        return ExitCode::from(USAGE);
    }
    let shard = match super::shard(args.shard.as_deref()) {
        Ok(shard) => shard,
        Err(error) => {
            out::complain(&error);
            return ExitCode::from(USAGE);
        }
    };
    let mirror = settings.stores.layout == Layout::Mirror;
    let sizes = settings.access.allowed_sizes.iter().filter(|_| mirror);
    let sweep = Sweep {
        origin: args.origin.clone(),
        older_than: args.older_than,
        dry_run: args.dry_run,
        settled: SETTLED,
        concurrency: usize::from(args.concurrency.get()),
        shard,
        sizes: sizes.map(ToString::to_string).collect(),
        folder: match at.url.place() {
            StorePlace::File(path) => Some(path.clone()),
            _ => None,
        },
        believe: if args.empty_origin { Believe::ItIsEmpty } else { Believe::NothingIsGone },
    };
    match swept(&sweep, settings) {
        Ok(tally) => {
            out::say(&summary(&tally, args.dry_run));
            let complete = tally.failed == 0 && tally.unanswered == 0 && tally.unproved == 0;
            if complete { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(error) => {
            out::complain(&error);
            ExitCode::from(FAILED)
        }
    }
}

fn swept(sweep: &Sweep, settings: &Settings) -> Result<Tally, String> {
    let (origins, runtime) =
        workshop::origins_alone(settings).map_err(|error| error.to_string())?;
    let store = workshop::variants_alone(settings).map_err(|error| error.to_string())?;
    let store = store.ok_or("LENSLET_VARIANTS is not set")?;
    let patience = settings.stores.fetch_timeout;
    let mut progress = Progress::new(sweep.dry_run);
    let ask = |source: SourceId| {
        let origins = origins.clone();
        async move { standing(&origins, &source, Instant::now() + patience).await }
    };
    let swept = runtime.block_on(sweep.run(store, ask, |tally| progress.show(tally)));
    progress.end();
    swept.map_err(|error| error.to_string())
}

/// What an origin says of an original. Only its own "not found" is an absence.
async fn standing(origins: &Origins, source: &SourceId, deadline: Instant) -> Standing {
    match origins.version(source, None, deadline).await {
        Ok(version) if version.stale => Standing::Unanswered("the origin failed".to_owned()),
        // A variant of ours under the key of an original: nobody knows what became of that.
        Ok(version) if version.ours => {
            Standing::Unanswered("a variant of ours lies in its place".to_owned())
        }
        Ok(version) => Standing::Here(version.meta.version),
        Err(OriginError::NotFound) => Standing::Gone,
        Err(OriginError::UnknownOrigin(_)) => Standing::Unknown,
        Err(error) => Standing::Unanswered(error.to_string()),
    }
}

/// A bar on a terminal, a line every now and then elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    last: Instant,
    begun: Instant,
    dry_run: bool,
}

impl Progress {
    fn new(dry_run: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        Self { bar, last: now, begun: now, dry_run }
    }

    fn show(&mut self, tally: &Tally) {
        match &self.bar {
            Some(bar) => {
                bar.tick();
                bar.set_message(self.line(tally));
            }
            None if self.last.elapsed() >= LINES => {
                self.last = Instant::now();
                out::complain(&self.line(tally));
            }
            None => {}
        }
    }

    fn line(&self, tally: &Tally) -> String {
        let gone = tally.goes_in_all();
        let done = if self.dry_run { "would go" } else { "gone" };
        let seconds = self.begun.elapsed().as_secs().max(1);
        format!(
            "{} looked at ({}/s), {} originals asked for, {} {done} ({})",
            tally.ours.objects,
            tally.ours.objects / seconds,
            tally.asked,
            gone.objects,
            HumanBytes(gone.bytes),
        )
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The counts in lines, what goes first.
fn summary(tally: &Tally, dry_run: bool) -> String {
    let mut text = String::new();
    let verb = if dry_run { "would go" } else { "deleted" };
    let Count { objects, bytes } = tally.goes_in_all();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{verb:<12}{objects:>10}  {}", HumanBytes(bytes));
    for (reason, count) in &tally.gone {
        let (objects, bytes) = (count.objects, HumanBytes(count.bytes));
        let _ = writeln!(text, "{:<12}{objects:>10}  {} ({bytes})", "", reason.words());
    }
    let _ = writeln!(
        text,
        "{:<12}{:>10}  of ours ({}), {} originals asked for",
        "looked at",
        tally.ours.objects,
        HumanBytes(tally.ours.bytes),
        tally.asked
    );
    for (what, count, meaning) in [
        ("not ours", tally.foreign, "left alone"),
        ("unanswered", tally.unanswered, "originals that could not be asked for: theirs stays"),
        ("unknown", tally.unknown, "variants of origins that are not configured: they stay"),
        ("failed", tally.failed, "objects that could not be deleted"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "{what:<12}{count:>10}  {meaning}");
        }
    }
    if tally.unproved > 0 {
        let _ = writeln!(
            text,
            "{:<12}{:>10}  no original of {} was found at all, which looks like a wrong setting; \
             --empty-origin says that it is empty",
            "kept",
            tally.unproved,
            tally.silent_origins.join(", ")
        );
    }
    if let Some(error) = &tally.error {
        let _ = writeln!(text, "first error: {error}");
    }
    text
}

/// Reads the name of an origin.
pub(super) fn origin_name(text: &str) -> Result<OriginName, String> {
    OriginName::new(text)
        .ok_or_else(|| "a name is of a-z, 0-9 and -, at most 63 of them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::Reason;

    #[test]
    fn a_summary_tells_what_went_and_what_was_held_back() {
        let mut tally = Tally {
            unproved: 3,
            unknown: 5,
            silent_origins: vec!["shop".into()],
            ..Tally::default()
        };
        tally.gone.insert(Reason::Changed, Count { objects: 7, bytes: 2_048 });
        tally.error = Some("refused".to_owned());
        let text = summary(&tally, false);
        for part in [
            "deleted",
            "7  of older versions (2.00 KiB)",
            "5  variants of origins that are not configured",
            "no original of shop",
            "refused",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(summary(&tally, true).starts_with("would go"));
    }
}
