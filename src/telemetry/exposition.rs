//! The two texts of a scrape. OpenMetrics, with exemplars, for whoever names it in `Accept`
//! (Prometheus does); the older text format for everybody else, made from the first. Never adds
//! or drops a sample.

use std::borrow::Cow;

/// The media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The media type of the older text.
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Media type and text for a scraper that sends `accept`; `page` is OpenMetrics.
#[must_use]
pub fn for_scraper(accept: Option<&str>, page: String) -> (&'static str, String) {
    if wants_open_metrics(accept.unwrap_or_default()) {
        (OPEN_METRICS, page)
    } else {
        (CLASSIC, classic(&page))
    }
}

/// Whether OpenMetrics is named, and not by `q=0`.
fn wants_open_metrics(accept: &str) -> bool {
    accept.split(',').any(|part| {
        let mut fields = part.split(';').map(str::trim);
        let named = fields
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        let refused = fields.any(|field| {
            let q = field.strip_prefix("q=").and_then(|q| q.parse::<f64>().ok());
            q.is_some_and(|q| q <= 0.0)
        });
        named && !refused
    })
}

/// The same samples in the older format: a counter is described under the name of its samples,
/// an `info` is a gauge, and there are no units, no exemplars and no end mark.
fn classic(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            // Its type stands in the next line, and decides its name.
            let kind = lines.peek().and_then(|next| next.rsplit(' ').next()).unwrap_or_default();
            let (name, words) = help.split_once(' ').unwrap_or((help, ""));
            let (name, kind) = described(name, kind);
            for part in ["# HELP ", &name, " ", words, "\n# TYPE ", &name, " ", kind, "\n"] {
                text.push_str(part);
            }
        } else if !line.starts_with('#') {
            let sample = line.split_once(" # {").map_or(line, |(sample, _exemplar)| sample);
            text.push_str(sample);
            text.push('\n');
        }
    }
    text
}

fn described<'a>(name: &'a str, kind: &'a str) -> (Cow<'a, str>, &'a str) {
    match kind {
        "counter" => (format!("{name}_total").into(), kind),
        "info" => (format!("{name}_info").into(), "gauge"),
        _ => (name.into(), kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP lenslet_a Things, counted.\n\
# TYPE lenslet_a counter\n\
lenslet_a_total{x=\"1\"} 5\n\
# HELP lenslet_b_seconds Times.\n\
# TYPE lenslet_b_seconds histogram\n\
# UNIT lenslet_b_seconds seconds\n\
lenslet_b_seconds_sum 1.5\n\
lenslet_b_seconds_bucket{le=\"1.0\"} 2 # {trace_id=\"0af7\"} 0.5 1700000000.0\n\
# HELP lenslet_build Build.\n\
# TYPE lenslet_build info\n\
lenslet_build_info{version=\"1\"} 1\n\
# EOF\n";

    #[test]
    fn a_scraper_gets_what_it_names() {
        for (accept, kind) in [
            (None, CLASSIC),
            (Some("*/*"), CLASSIC),
            (Some("text/plain;version=0.0.4;q=1"), CLASSIC),
            (Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"), OPEN_METRICS),
            (Some("application/openmetrics-text;q=0, text/plain"), CLASSIC),
        ] {
            assert_eq!(for_scraper(accept, PAGE.to_owned()).0, kind, "{accept:?}");
        }
    }

    #[test]
    fn the_older_text_has_the_same_samples_under_descriptions_of_its_own() {
        let expected = "\
# HELP lenslet_a_total Things, counted.\n\
# TYPE lenslet_a_total counter\n\
lenslet_a_total{x=\"1\"} 5\n\
# HELP lenslet_b_seconds Times.\n\
# TYPE lenslet_b_seconds histogram\n\
lenslet_b_seconds_sum 1.5\n\
lenslet_b_seconds_bucket{le=\"1.0\"} 2\n\
# HELP lenslet_build_info Build.\n\
# TYPE lenslet_build_info gauge\n\
lenslet_build_info{version=\"1\"} 1\n";
        assert_eq!(classic(PAGE), expected);
    }
}
