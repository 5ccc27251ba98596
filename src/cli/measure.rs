//! `lenslet measure`: the parts of one render measured apart, in CPU time of one thread: what a
//! picture costs on this machine, for sizing pods and for holding the server to it. Never goes
//! through the plan for the parts: the ladder step and the sizes are worked out here, so that a
//! plan which does needless work shows.

use super::{FAILED, MeasureArgs, USAGE, out, wish};
use crate::codec;
use crate::config::Settings;
use crate::model::format::{Format, SourceFormat};
use crate::model::geometry::Size;
use crate::model::source::{Header, Scale};
use crate::model::transform::Accepts;
use crate::pipeline::plan::{Window, WindowRect};
use crate::pipeline::{self, Plan, ops};
use std::borrow::Cow;
use std::process::ExitCode;
use std::time::Duration;

/// Measures one file and prints one line of JSON: medians in milliseconds.
pub(super) fn run(args: &MeasureArgs, settings: &Settings) -> ExitCode {
    let wish = match wish::of_parameters(&args.parameters, Accepts::AvifWebp, settings) {
        Ok(wish) => wish,
        Err(error) => {
            out::complain(&error);
            return ExitCode::from(USAGE);
        }
    };
    let measured = std::fs::read(&args.input)
        .map_err(|error| format!("{}: {error}", args.input.display()))
        .and_then(|bytes| {
            let header = codec::probe(&bytes).map_err(|error| error.to_string())?;
            let plan = pipeline::plan(&header, &wish, &settings.limits)
                .map_err(|error| error.to_string())?;
            measure(&bytes, &header, &plan, args.rounds.max(1))
        });
    match measured {
        Ok(line) => {
            out::say(&line);
            ExitCode::SUCCESS
        }
        Err(error) => {
            out::complain(&error);
            ExitCode::from(FAILED)
        }
    }
}

fn measure(bytes: &[u8], header: &Header, plan: &Plan, rounds: u32) -> Result<String, String> {
    let display = header.display_size();
    if header.orientation.swaps_axes() {
        return Err(format!("{display} is shown turned: measure an upright original"));
    }
    // The smallest step of the DCT ladder that is no smaller than the result.
    let ladder = header.format == SourceFormat::Web(Format::Jpeg);
    let large_enough = |scale: &Scale| scale.apply(header.size).width >= plan.size.width;
    let scale = Scale::ALL.into_iter().filter(|_| ladder).rfind(large_enough).unwrap_or_default();
    let encoding = plan.choice.settle(true);
    let (mut decode, mut resize, mut encode, mut whole) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        let pixels = timed(&mut decode, || codec::decode(bytes, header, scale))
            .map_err(|error| error.to_string())?;
        let window = Window::Fixed(WindowRect::of(pixels.size()));
        let to = Size::new(plan.size.width, plan.size.height);
        let small = timed(&mut resize, || ops::resize(Cow::Owned(pixels), window, to))
            .map_err(|error| error.to_string())?;
        timed(&mut encode, || codec::encode(&small, encoding))
            .map_err(|error| error.to_string())?;
        timed(&mut whole, || pipeline::run(bytes, header, plan, |_stage| {}))
            .map_err(|error| error.to_string())?;
    }
    Ok(format!(
        "{{\"decode_ms\":{:.3},\"resize_ms\":{:.3},\"encode_ms\":{:.3},\"whole_ms\":{:.3}}}",
        median(decode),
        median(resize),
        median(encode),
        median(whole)
    ))
}

/// CPU time this thread has used.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn timed<T>(times: &mut Vec<f64>, work: impl FnOnce() -> T) -> T {
    let before = thread_cpu();
    let result = work();
    times.push(thread_cpu().saturating_sub(before).as_secs_f64() * 1e3);
    result
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
