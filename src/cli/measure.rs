//! `lenslet measure`: the parts of one render measured apart, in CPU time of one thread: what a
//! picture costs on this machine, for sizing pods and for holding the server to it. Of the plan the
//! parts take whether it stays in planes; the ladder step and the sizes are worked out here, so
//! that a plan which does needless work shows.

use super::{FAILED, MeasureArgs, USAGE, out, wish};
use crate::codec::{self, buffers};
use crate::config::Settings;
use crate::model::geometry::Size;
use crate::model::source::{Header, Scale};
use crate::model::transform::Accepts;
use crate::pipeline::plan::{Window, WindowRect};
use crate::pipeline::{self, Plan, ops};
use std::borrow::Cow;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Measures one file and prints one line of JSON: what the plan reserves in bytes; medians in
/// milliseconds of the parts, of the whole and of the whole by way of RGB; and the pages faulted in
/// by a render. The first alone where there are no rounds.
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
            measure(&args.input, &header, &plan, args.rounds)
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

fn measure(input: &Path, header: &Header, plan: &Plan, rounds: u32) -> Result<String, String> {
    let memory = plan.cost.bytes;
    if rounds == 0 {
        return Ok(format!("{{\"memory_bytes\":{memory}}}"));
    }
    let display = header.display_size();
    if header.orientation.swaps_axes() {
        return Err(format!("{display} is shown turned: measure an upright original"));
    }
    // The smallest step of the ladder that is no smaller than the result.
    let large_enough = |scale: &Scale| scale.apply(header.size).width >= plan.size.width;
    let scale = Scale::ALL.into_iter().rfind(large_enough).unwrap_or_default();
    let encoding = plan.choice.settle(true);
    let to = Size::new(plan.size.width, plan.size.height);
    let (mut decode, mut resize, mut encode, mut whole) = (vec![], vec![], vec![], vec![]);
    let (mut read, mut pixels, mut faults) = (vec![], vec![], vec![]);
    let by_pixels = Plan { planar: false, ..plan.clone() };
    for _ in 0..rounds {
        let bytes = timed(&mut read, || std::fs::read(input)).map_err(|error| error.to_string())?;
        let bytes = bytes.as_slice();
        if plan.planar {
            let planes = timed(&mut decode, || codec::decode_planes(bytes, header, scale))
                .map_err(|error| error.to_string())?;
            let window = WindowRect::of(planes.size());
            let small = timed(&mut resize, || ops::resize_planes(Cow::Owned(planes), window, to))
                .map_err(|error| error.to_string())?;
            timed(&mut encode, || codec::encode_planes(&small, encoding))
                .map_err(|error| error.to_string())?;
            buffers::give_back(small.into_data());
        } else {
            let pixels = timed(&mut decode, || codec::decode(bytes, header, scale))
                .map_err(|error| error.to_string())?;
            let window = Window::Fixed(WindowRect::of(pixels.size()));
            let small = timed(&mut resize, || ops::resize(Cow::Owned(pixels), window, to))
                .map_err(|error| error.to_string())?;
            timed(&mut encode, || codec::encode(&small, encoding))
                .map_err(|error| error.to_string())?;
            buffers::give_back(small.into_data());
        }
        let before = minor_faults();
        timed(&mut whole, || pipeline::run(bytes, header, plan, |_stage| {}))
            .map_err(|error| error.to_string())?;
        faults.push(minor_faults() - before);
        timed(&mut pixels, || pipeline::run(bytes, header, &by_pixels, |_stage| {}))
            .map_err(|error| error.to_string())?;
    }
    Ok(format!(
        "{{\"memory_bytes\":{memory},\"read_ms\":{:.3},\"decode_ms\":{:.3},\"resize_ms\":{:.3},\"encode_ms\":{:.3},\"whole_ms\":{:.3},\
         \"planar\":{},\"pixels_ms\":{:.3},\"faults\":{:.0}}}",
        median(read),
        median(decode),
        median(resize),
        median(encode),
        median(whole),
        plan.planar,
        median(pixels),
        median(faults)
    ))
}

/// Pages this thread had to be given since it began; 0 where the system does not tell.
fn minor_faults() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // Behind the name in parentheses, which may hold anything: state, seven numbers, `minflt`.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(7).and_then(|field| field.parse().ok()).unwrap_or(0.0)
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
