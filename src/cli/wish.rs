//! A URL or a parameter list as the server would read it, for the commands that need no server.

use crate::config::{BasePath, Settings};
use crate::dialect::request::{self, ImageRequest};
use crate::model::transform::{Accepts, Transform};

/// The wish of a parameter list, as behind the `?` of a URL, by a client that reads `accepts`.
///
/// # Errors
/// One sentence that names what is wrong.
pub(super) fn of_parameters(
    parameters: &str,
    accepts: Accepts,
    settings: &Settings,
) -> Result<Transform, String> {
    let request = of_target(&format!("/image?{parameters}"), settings)?;
    request.resolve(accepts, &settings.limits).map_err(|error| error.to_string())
}

/// The request of a target below the base path, by the deployment's presets and rules.
///
/// # Errors
/// One sentence that names what is wrong.
pub(super) fn of_target(target: &str, settings: &Settings) -> Result<ImageRequest, String> {
    request::parse(target, &settings.access.dialect()).map_err(|error| error.to_string())
}

/// The target of a whole URL or of a path, without the deployment's base path.
///
/// # Errors
/// One sentence, for what lies outside the base path.
pub(super) fn target_of<'u>(url: &'u str, base_path: &BasePath) -> Result<&'u str, String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => url,
    };
    base_path
        .below(path)
        .ok_or_else(|| format!("{path:?} is outside LENSLET_BASE_PATH, {:?}", base_path.as_str()))
}
