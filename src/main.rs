//! The `lenslet` binary: the allocator and the door to [`lenslet::cli`]. Never holds logic.

use std::process::ExitCode;

/// Keeps large buffers mapped between renders instead of faulting their pages in anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lenslet::cli::run(std::env::args_os())
}
