//! The `lenslet` binary: the allocator and the door to [`lenslet::cli`]. Never holds logic.

use std::process::ExitCode;

/// Keeps large buffers mapped between renders instead of faulting their pages in anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    small_pages();
    lenslet::cli::run(std::env::args_os())
}

/// Memory comes in pages of 4 KiB. The allocator would ask for those of 2 MiB, of which each thread
/// fills a corner: an idle process then holds twice the memory, and one at its peak a third more.
/// Renders are not slower for it, since they use their buffers again. A kernel that knows no such
/// switch keeps its own ways.
#[cfg(target_os = "linux")]
fn small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(not(target_os = "linux"))]
const fn small_pages() {}
