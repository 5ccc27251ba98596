//! `lenslet explain`: how a URL is understood, and, where the origin can be asked, under which
//! key and object path its variant lies. Never fetches or renders the picture.

use super::{ExplainArgs, FAILED, USAGE, out, wish};
use crate::config::Settings;
use crate::dialect::explain;
use crate::dialect::request::ImageRequest;
use crate::model::key::{VariantKey, info_etag, source_record_path};
use crate::model::transform::Accepts;
use crate::service::workshop;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long the origin may take to tell the version.
const PATIENCE: Duration = Duration::from_secs(5);

/// Explains one URL, as a client that reads everything would be answered.
pub(super) fn run(args: &ExplainArgs, settings: &Settings) -> ExitCode {
    let dialect = settings.access.dialect();
    let understood = wish::target_of(&args.url, &settings.http.base_path).and_then(|target| {
        let text = explain::explain(target, &dialect, Accepts::AvifWebp, &settings.limits)
            .map_err(|error| error.to_string())?;
        Ok((text, wish::of_target(target, settings)?))
    });
    let (text, request) = match understood {
        Ok(understood) => understood,
        Err(error) => {
            out::complain(&error);
            return ExitCode::from(USAGE);
        }
    };
    out::say(&text);
    if settings.stores.origins.is_empty() {
        out::complain("without LENSLET_ORIGIN there is no version, and so no key");
        return ExitCode::SUCCESS;
    }
    match identity(&request, settings) {
        Ok(lines) => {
            out::say(&lines);
            ExitCode::SUCCESS
        }
        Err(reason) => {
            out::complain(&format!("key and object path are not known: {reason}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Asks the origin for the version and spells out what follows from it.
fn identity(request: &ImageRequest, settings: &Settings) -> Result<String, String> {
    let (origins, runtime) =
        workshop::origins_alone(settings).map_err(|error| error.to_string())?;
    let deadline = Instant::now() + PATIENCE;
    let version = runtime
        .block_on(origins.version(&request.source, None, deadline))
        .map_err(|error| error.to_string())?;
    let version = version.meta.version;
    if request.is_info() {
        let (etag, record) =
            (info_etag(&request.source, &version), source_record_path(&request.source));
        return Ok(format!("version     {version}\netag        {etag}\nobject      {record}"));
    }
    let wish =
        request.resolve(Accepts::AvifWebp, &settings.limits).map_err(|error| error.to_string())?;
    let key = VariantKey::new(request.source.clone(), version, &wish);
    let mirror =
        request.mirror_path().map_or(String::new(), |path| format!("\nmirror      {path}"));
    Ok(format!(
        "version     {}\netag        {}\nobject      {}{mirror}",
        key.version,
        key.etag(),
        key.object_path()
    ))
}
