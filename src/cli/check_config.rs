//! `lenslet check-config`: the configuration as the server would see it, and with `--probe` what
//! the stores it names say to it. Never shows a secret and serves nothing; without `--probe` it
//! opens no store.

use super::args::CheckConfigArgs;
use super::{CONFIG, FAILED, out};
use crate::config::{Env, Machine, Purpose, Settings, effective};
use crate::service::probe::{self, Finding};
use std::process::ExitCode;

/// Prints every setting with its value and its source to standard output, and what is wrong to
/// standard error; 78 if anything is. With `--probe` the findings, one line each, instead of the
/// settings; 1 if one of them is not as it should be.
pub(super) fn run(args: &CheckConfigArgs, env: &Env) -> ExitCode {
    let machine = Machine::detect();
    if !args.probe {
        out::say(&format!(
            "{}# auto means here: {} CPUs by {}, {} bytes of memory by {}",
            effective(env),
            machine.cpus,
            machine.cpus_by,
            machine.memory.get(),
            machine.memory_by,
        ));
    }
    for warning in env.warnings() {
        out::complain(&format!("warning: {warning}"));
    }
    match Settings::read(env, &machine, Purpose::Serve) {
        Ok(settings) if args.probe => probed(&settings, args.json),
        Ok(_) => ExitCode::SUCCESS,
        Err(faults) => {
            out::complain(&faults.to_string());
            ExitCode::from(CONFIG)
        }
    }
}

fn probed(settings: &Settings, json: bool) -> ExitCode {
    let mut tell = |finding: Finding| {
        // A finding is a struct of plain fields and always serialises.
        let line = serde_json::to_string(&finding).ok().filter(|_| json);
        out::say(&line.unwrap_or_else(|| finding.to_string()));
    };
    match probe::probe(settings, &mut tell) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            out::complain(&error.to_string());
            ExitCode::from(FAILED)
        }
    }
}
