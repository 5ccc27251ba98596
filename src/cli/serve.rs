//! `lenslet serve`: the service itself, from settings to the last drained write.

use super::FAILED;
use crate::config::Settings;
use crate::service::compose;
use std::process::ExitCode;

/// Serves until SIGTERM or SIGINT, then leaves in order.
pub(super) fn run(settings: Settings) -> ExitCode {
    let running = match compose::start(settings) {
        Ok(running) => running,
        Err(error) => {
            tracing::error!(error = %error, "cannot start");
            return ExitCode::from(FAILED);
        }
    };
    let drained = running.until_signal();
    tracing::info!(writes_finished = drained.finished, writes_dropped = drained.dropped, "stopped");
    ExitCode::SUCCESS
}
