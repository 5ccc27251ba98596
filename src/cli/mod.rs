//! Floor 3: the commands of the `lenslet` binary. Each reads what it needs of the environment,
//! does one thing, and says by its exit code how that went. Never holds logic of the service.

mod args;
mod check_config;
mod explain;
mod health;
mod measure;
mod out;
mod purge;
mod render;
mod samples;
mod serve;
mod sign;
mod sweep;
mod version;
mod warm;
mod wish;

pub use args::{ExplainArgs, MeasureArgs, RenderArgs};

use crate::config::{Env, Faults, Machine, Purpose, Settings};
use crate::model::shard::Shard;
use crate::telemetry::logs::{self, Stream};
use args::{Cli, Command};
use clap::Parser as _;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::process::ExitCode;

/// The command did not do what it was asked.
const FAILED: u8 = 1;
/// The command line cannot be understood (`EX_USAGE`).
const USAGE: u8 = 64;
/// The environment cannot be understood (`EX_CONFIG`).
const CONFIG: u8 = 78;

/// Runs the command of `args`, the program's name first. Returns the exit code: 0, 1 for a
/// command that failed, 64 for a command line and 78 for an environment that cannot be read.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            out::say(&error.to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            out::complain(&error.to_string());
            return ExitCode::from(USAGE);
        }
    };
    if cli.version {
        out::say(&version::text());
        return ExitCode::SUCCESS;
    }
    let env = Env::gather(std::env::vars_os(), cli.env_file.as_deref());
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => with_settings(&env, Purpose::Serve, serve::run),
        Command::Render(args) => {
            with_settings(&env, Purpose::Offline, |settings| render::run(&args, &settings))
        }
        Command::Measure(args) => {
            with_settings(&env, Purpose::Offline, |settings| measure::run(&args, &settings))
        }
        Command::Warm(args) => {
            with_settings(&env, Purpose::Offline, |settings| warm::run(&args, &settings))
        }
        Command::Explain(args) => {
            with_settings(&env, Purpose::Offline, |settings| explain::run(&args, &settings))
        }
        Command::Sign(args) => sign::run(&args, &env),
        Command::Keygen => sign::keygen(),
        Command::CheckConfig(args) => check_config::run(&args, &env),
        Command::Health => health::run(&env),
        Command::Purge(args) => purge::run(&args, &env),
        Command::Sweep(args) => {
            with_settings(&env, Purpose::Offline, |settings| sweep::run(&args, &settings))
        }
        Command::Samples(args) => match samples::write(&args.folder) {
            Ok(_paths) => ExitCode::SUCCESS,
            Err(error) => {
                out::complain(&error.to_string());
                ExitCode::from(FAILED)
            }
        },
    }
}

/// Reads the settings, starts logging, hands over.
fn with_settings(env: &Env, purpose: Purpose, run: impl FnOnce(Settings) -> ExitCode) -> ExitCode {
    let settings = match Settings::read(env, &Machine::detect(), purpose) {
        Ok(settings) => settings,
        Err(faults) => return refuse(&faults),
    };
    let stream = match purpose {
        Purpose::Serve => Stream::Stdout,
        Purpose::Offline => Stream::Stderr,
    };
    // What waits to be written is, when the command has ended.
    let _log = match logs::init(&settings.logs, stream) {
        Ok(log) => log,
        Err(error) => {
            out::complain(&error.to_string());
            return ExitCode::from(FAILED);
        }
    };
    for warning in env.warnings() {
        tracing::warn!("{warning}");
    }
    run(settings)
}

/// Says what is wrong with the environment, one line each.
fn refuse(faults: &Faults) -> ExitCode {
    out::complain(&faults.to_string());
    ExitCode::from(CONFIG)
}

/// The share of the work that `--shard` names; all of it without one.
fn shard(text: Option<&str>) -> Result<Shard, String> {
    let index = std::env::var("JOB_COMPLETION_INDEX").ok();
    let shard = text.map_or(Ok(Shard::WHOLE), |text| Shard::read(text, index.as_deref()));
    shard.map_err(|error| format!("--shard: {error}"))
}
