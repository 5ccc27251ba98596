//! `lenslet check-config`: the configuration as the server would see it. Never shows a secret,
//! opens no store and starts nothing.

use super::args::CheckConfigArgs;
use super::{CONFIG, USAGE, out};
use crate::config::{Env, Machine, Purpose, Settings, effective};
use std::process::ExitCode;

/// Prints every setting with its value and its source to standard output, and what is wrong to
/// standard error; 78 if anything is.
pub(super) fn run(args: &CheckConfigArgs, env: &Env) -> ExitCode {
    if args.probe {
        out::complain("--probe is not supported in this version");
        return ExitCode::from(USAGE);
    }
    let machine = Machine::detect();
    out::say(&format!(
        "{}# auto means here: {} CPUs, {} bytes of memory",
        effective(env),
        machine.cpus,
        machine.memory.get(),
    ));
    for warning in env.warnings() {
        out::complain(&format!("warning: {warning}"));
    }
    match Settings::read(env, &machine, Purpose::Serve) {
        Ok(_) => ExitCode::SUCCESS,
        Err(faults) => {
            out::complain(&faults.to_string());
            ExitCode::from(CONFIG)
        }
    }
}
