//! `lenslet render`: one file through the pipeline, without a server: the same plan, the same
//! steps, the same bytes.

use super::{FAILED, RenderArgs, USAGE, out, wish};
use crate::codec;
use crate::config::Settings;
use crate::dialect::accept::negotiate;
use crate::pipeline;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Renders one file; `OUT` is written whole or not at all, `-` is standard output.
pub(super) fn run(args: &RenderArgs, settings: &Settings) -> ExitCode {
    // The file's name says what `f=auto` may be, as Accept would.
    let wished = args.output.extension().and_then(|extension| extension.to_str());
    let accept = wished.map(|extension| format!("image/{}", extension.to_ascii_lowercase()));
    let accepts = negotiate(accept.as_deref());
    let wish = match wish::of_parameters(&args.parameters, accepts, settings) {
        Ok(wish) => wish,
        Err(error) => {
            out::complain(&error);
            return ExitCode::from(USAGE);
        }
    };
    let rendered = std::fs::read(&args.input)
        .map_err(|error| format!("{}: {error}", args.input.display()))
        .and_then(|bytes| {
            let header = codec::probe(&bytes).map_err(|error| error.to_string())?;
            let plan = pipeline::plan(&header, &wish, &settings.limits)
                .map_err(|error| error.to_string())?;
            pipeline::run(&bytes, &header, &plan, |_stage| {}).map_err(|error| error.to_string())
        });
    let written = rendered.and_then(|rendered| {
        write(&args.output, &rendered.body)
            .map_err(|error| format!("{}: {error}", args.output.display()))?;
        Ok(format!("{} {} {} bytes", rendered.format, rendered.size, rendered.body.len()))
    });
    match written {
        Ok(line) => {
            out::complain(&line);
            ExitCode::SUCCESS
        }
        Err(error) => {
            out::complain(&error);
            ExitCode::from(FAILED)
        }
    }
}

/// Writes beside the target first: a reader never sees half a picture.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if path == Path::new("-") {
        return std::io::stdout().lock().write_all(bytes);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let result = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    if result.is_err() {
        // What was begun is of no use; that it cannot be removed changes nothing.
        let _ = std::fs::remove_file(&part);
    }
    result
}
