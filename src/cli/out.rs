//! The one place where the commands print. A reader that has gone away (`lenslet … | head`) ends
//! the output, never the program.

use std::io::Write as _;

/// A command's result, to standard output, with a line end behind it.
pub(super) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody is left to be told when this fails.
    let _ = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
}

/// What went wrong, to standard error, with a line end behind it.
pub(super) fn complain(text: &str) {
    let mut out = std::io::stderr().lock();
    // Nobody is left to be told when this fails.
    let _ = writeln!(out, "{}", text.trim_end_matches('\n'));
}
