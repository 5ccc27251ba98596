//! The command line as types. Never does anything.

use crate::config::duration_between;
use crate::dialect::request::SizedPath;
use crate::model::key::OriginName;
use clap::{Args, Parser, Subcommand};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

/// What stands below the help of every command.
const AFTER: &str = "\
Settings come from the environment, LENSLET_…; `lenslet check-config` lists them with their values.
Exit codes: 0 done, 1 failed, 64 wrong command line, 78 wrong environment.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "lenslet",
    about = "Image URLs in, the right bytes out, kept in your bucket for the next request",
    after_help = AFTER,
    disable_help_subcommand = true,
)]
pub(super) struct Cli {
    /// Read settings from this file too; the environment wins over it
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) env_file: Option<PathBuf>,

    /// Print the version of lenslet and of every codec
    #[arg(long, short = 'V')]
    pub(super) version: bool,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// What to do; nothing said means serve.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve images (the default)
    Serve,
    /// Transform one file, without a server
    Render(RenderArgs),
    /// Measure decode, resize and encode of one file apart, in CPU time of this machine
    Measure(MeasureArgs),
    /// Make variants ahead of requests, of everything an origin holds
    Warm(WarmArgs),
    /// Show how a URL is understood: parameters, canonical form, key, object path
    Explain(ExplainArgs),
    /// Sign a path or URL
    Sign(SignArgs),
    /// Make a signing key
    Keygen,
    /// Print the effective configuration and everything that is wrong with it
    CheckConfig(CheckConfigArgs),
    /// Ask a running server whether it is alive; for container health checks
    Health,
    /// Purge what a running service, its store, its peers and its CDN have of something
    Purge(PurgeArgs),
    /// Clear the store of variants of what nobody asks for any more
    Sweep(SweepArgs),
    /// Draw the sample pictures of `make run` into a folder
    #[command(hide = true)]
    Samples(SamplesArgs),
}

/// `lenslet render IN 'w=300&f=webp' -o OUT`.
#[derive(Debug, Clone, Args)]
pub struct RenderArgs {
    /// The original
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// The parameters, as behind the ? of a URL
    #[arg(value_name = "PARAMETERS")]
    pub parameters: String,
    /// Where the result goes
    #[arg(long, short, value_name = "OUT")]
    pub output: PathBuf,
}

/// `lenslet measure IN 'w=800'`.
#[derive(Debug, Clone, Args)]
pub struct MeasureArgs {
    /// The original
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// The parameters, as behind the ? of a URL
    #[arg(value_name = "PARAMETERS")]
    pub parameters: String,
    /// How often each part is done; the median is told. 0: only what memory the plan reserves
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub rounds: u32,
}

/// `lenslet warm --presets thumb,card`.
#[derive(Debug, Clone, Args)]
pub(super) struct WarmArgs {
    /// What to make, by names of presets; without it and without --sizes what the settings say:
    /// LENSLET_PREGENERATE and, in the mirror layout, LENSLET_ALLOWED_SIZES
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) presets: Vec<String>,
    /// Sizes of the sized URLs to make, such as 300x200,0x150
    #[arg(long, value_name = "SIZES", value_delimiter = ',')]
    pub(super) sizes: Vec<SizedPath>,
    /// Only originals whose keys begin so
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) prefix: String,
    /// Of this origin of LENSLET_ORIGINS instead of LENSLET_ORIGIN
    #[arg(long, value_name = "NAME")]
    pub(super) origin: Option<String>,
    /// Originals under way at a time, at most 1024; without it four for every CPU
    #[arg(long, value_name = "N", value_parser = concurrency)]
    pub(super) concurrency: Option<NonZeroU16>,
    /// One share of several processes: 2/8 is the second of eight, auto/8 the one of
    /// JOB_COMPLETION_INDEX
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<String>,
    /// Begin at the beginning instead of where a stopped run left off
    #[arg(long)]
    pub(super) restart: bool,
    /// Make nothing; tell how much would be made
    #[arg(long)]
    pub(super) dry_run: bool,
}

fn concurrency(text: &str) -> Result<NonZeroU16, String> {
    let number = text.parse().ok().filter(|n: &NonZeroU16| n.get() <= 1_024);
    number.ok_or_else(|| "expected a whole number from 1 to 1024".to_owned())
}

/// `lenslet explain URL`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// A path with its query, such as '/cat.jpg?w=300', or a whole URL
    #[arg(value_name = "URL")]
    pub url: String,
}

/// `lenslet sign TARGET`.
#[derive(Debug, Clone, Args)]
pub(super) struct SignArgs {
    /// A path with its query, such as '/cat.jpg?w=300', or a whole URL
    #[arg(value_name = "TARGET")]
    pub(super) target: String,
    /// Sign with this key instead of the first of LENSLET_KEYS
    #[arg(long, value_name = "HEX")]
    pub(super) key: Option<String>,
}

/// `lenslet purge --source KEY`.
#[derive(Debug, Clone, Args)]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    pub(super) scope: PurgeScope,
    /// Where the service is told; without it, at LENSLET_ADMIN_LISTEN
    #[arg(long, value_name = "URL")]
    pub(super) admin: Option<String>,
    /// The file that holds the admin token; without it, LENSLET_ADMIN_TOKEN counts
    #[arg(long, value_name = "PATH")]
    pub(super) token_file: Option<PathBuf>,
}

/// What is purged: exactly one of them.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(super) struct PurgeScope {
    /// Everything made of this original: photos/cat.jpg, or @shop/photos/cat.jpg
    #[arg(long, value_name = "KEY")]
    pub(super) source: Option<String>,
    /// Everything made of originals whose key begins so: photos/, or @shop/photos/
    #[arg(long, value_name = "PREFIX")]
    pub(super) prefix: Option<String>,
    /// One variant, by its path with the query or its whole URL
    #[arg(long, value_name = "URL")]
    pub(super) variant: Option<String>,
    /// Everything
    #[arg(long)]
    pub(super) all: bool,
}

/// `lenslet sweep`.
#[derive(Debug, Clone, Args)]
pub(super) struct SweepArgs {
    /// Only count what would go
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Also delete what is older, such as 90d, give or take a tenth
    #[arg(long, value_name = "DURATION", value_parser = sweep_age)]
    pub(super) older_than: Option<Duration>,
    /// Only what was made of originals of this origin
    #[arg(long, value_name = "NAME", value_parser = super::sweep::origin_name)]
    pub(super) origin: Option<OriginName>,
    /// Originals asked for at a time, 1 to 1024
    #[arg(long, value_name = "N", default_value = "16", value_parser = concurrency)]
    pub(super) concurrency: NonZeroU16,
    /// One share of several processes: 2/8 is the second of eight, auto/8 the one of
    /// JOB_COMPLETION_INDEX
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<String>,
    /// Believe that an origin is empty of which no original is found
    #[arg(long)]
    pub(super) empty_origin: bool,
}

fn sweep_age(text: &str) -> Result<Duration, String> {
    const HOUR_MS: u64 = 3_600_000;
    duration_between(text, HOUR_MS, 3_650 * 24 * HOUR_MS)
}

/// `lenslet samples DIR`.
#[derive(Debug, Clone, Args)]
pub(super) struct SamplesArgs {
    /// The folder, made where it is missing
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
}

/// `lenslet check-config`.
#[derive(Debug, Clone, Args)]
pub(super) struct CheckConfigArgs {
    /// Ask every store, codec and peer for what the service will need of it; one line each
    #[arg(long)]
    pub(super) probe: bool,
    /// Tell what was found as JSON, one object a line
    #[arg(long, requires = "probe")]
    pub(super) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_said_means_serve_and_the_env_file_may_stand_anywhere() {
        let cli = Cli::try_parse_from(["lenslet"]).unwrap();
        assert!(cli.command.is_none() && !cli.version);
        for args in [
            ["lenslet", "--env-file", "a.env", "check-config"],
            ["lenslet", "check-config", "--env-file", "a.env"],
        ] {
            let cli = Cli::try_parse_from(args).unwrap();
            assert_eq!(cli.env_file.as_deref(), Some("a.env".as_ref()));
            assert!(matches!(cli.command, Some(Command::CheckConfig(_))));
        }
    }

    #[test]
    fn warm_takes_lists_and_a_bounded_number() {
        let warm = |args: &[&str]| {
            let args = ["lenslet", "warm"].iter().chain(args);
            match Cli::try_parse_from(args).map(|cli| cli.command) {
                Ok(Some(Command::Warm(warm))) => Ok(warm),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.to_string()),
            }
        };
        let asked = warm(&["--presets", "thumb,card", "--sizes", "300x200,0x9", "--shard=auto/8"]);
        let asked = asked.unwrap();
        assert_eq!(asked.presets, ["thumb", "card"]);
        assert_eq!(asked.sizes.len(), 2);
        assert!(asked.prefix.is_empty() && asked.concurrency.is_none() && !asked.restart);
        for wrong in [["--concurrency", "0"], ["--concurrency", "1025"], ["--sizes", "0x0"]] {
            assert!(warm(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn render_takes_a_file_a_wish_and_a_place() {
        let args = ["lenslet", "render", "in.jpg", "w=300&f=webp", "-o", "out.webp"];
        let Some(Command::Render(render)) = Cli::try_parse_from(args).unwrap().command else {
            panic!("not render");
        };
        assert_eq!(render.parameters, "w=300&f=webp");
        assert_eq!(render.output, PathBuf::from("out.webp"));
        assert!(Cli::try_parse_from(["lenslet", "render", "in.jpg"]).is_err());
    }

    #[test]
    fn a_purge_has_exactly_one_scope_and_a_sweep_its_bounds() {
        let good = |args: &[&str]| Cli::try_parse_from(["lenslet"].iter().chain(args)).is_ok();
        assert!(good(&["purge", "--source", "cat.jpg"]) && good(&["purge", "--all"]));
        assert!(!good(&["purge"]) && !good(&["purge", "--all", "--prefix", "a/"]));
        assert!(good(&["sweep", "--older-than", "90d", "--shard", "3/8", "--concurrency", "64"]));
        for wrong in [["--older-than", "1s"], ["--concurrency", "0"]] {
            assert!(!good(&["sweep", wrong[0], wrong[1]]), "{wrong:?}");
        }
    }
}
