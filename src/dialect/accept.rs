//! `Accept` → one of four outcomes (SEMANTICS 13). Only types a client names count: `*/*` and
//! `image/*` say nothing about AVIF or WebP, every browser without them sends those too. Never
//! fails: what cannot be read is as if it were not there.

use crate::model::transform::Accepts;

/// Bytes of the header that are read; items that end beyond are not there.
const MAX_HEADER: usize = 4_096;

/// Reads the header (several joined with `, `), by RFC 9110 §12.5.1: media ranges with weights,
/// types in any letter case. Between AVIF and WebP a strictly higher weight wins and a tie is
/// AVIF's; neither counts if the client names JPEG or PNG and ranks them strictly higher.
#[must_use]
pub fn negotiate(accept: Option<&str>) -> Accepts {
    let Some(header) = accept else { return Accepts::Classic };
    let mut weights = Weights::default();
    for item in items(header) {
        weights.take(item);
    }
    let classic = weights.jpeg.max(weights.png).unwrap_or(0);
    // Weight 0 is a refusal.
    let counts = |weight: Option<u16>| weight.filter(|&q| q > 0 && q >= classic);
    match (counts(weights.avif), counts(weights.webp)) {
        (Some(avif), Some(webp)) if webp <= avif => Accepts::AvifWebp,
        (Some(_), None) => Accepts::Avif,
        (_, Some(_)) => Accepts::Webp,
        (None, None) => Accepts::Classic,
    }
}

/// Weights in thousandths of the types that matter, where named.
#[derive(Default)]
struct Weights {
    avif: Option<u16>,
    webp: Option<u16>,
    jpeg: Option<u16>,
    png: Option<u16>,
}

impl Weights {
    fn take(&mut self, item: &str) {
        let mut parts = split_unquoted(item, ';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let slot = if media_type.eq_ignore_ascii_case("image/avif") {
            &mut self.avif
        } else if media_type.eq_ignore_ascii_case("image/webp") {
            &mut self.webp
        } else if media_type.eq_ignore_ascii_case("image/jpeg") {
            &mut self.jpeg
        } else if media_type.eq_ignore_ascii_case("image/png") {
            &mut self.png
        } else {
            return;
        };
        let weight = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(Some(1_000), |(_, text)| qvalue(text.trim()));
        let Some(weight) = weight else { return };
        // Named twice, the refusal stands; else the better of the two.
        *slot = Some(match *slot {
            Some(0) => 0,
            Some(_) if weight == 0 => 0,
            Some(before) => before.max(weight),
            None => weight,
        });
    }
}

/// The items that end within the part of the header that is read.
fn items(header: &str) -> impl Iterator<Item = &str> {
    let mut end = header.len();
    if end > MAX_HEADER {
        let read = header.as_bytes().get(..MAX_HEADER).unwrap_or_default();
        // A comma is one byte, so the cut is between characters.
        end = read.iter().rposition(|&b| b == b',').unwrap_or(0);
    }
    split_unquoted(header.get(..end).unwrap_or_default(), ',')
}

/// Splits at a separator that does not stand inside a quoted string.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        if escaped {
            escaped = false;
        } else if quoted && c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        }
        c == separator && !quoted
    })
}

/// `0`, `1`, `0.8`, `0.875`, `1.000`, in thousandths; anything else is not a weight.
fn qvalue(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", n) => Some(n),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_of_real_clients_and_of_odd_ones() {
        use Accepts::{Avif, AvifWebp, Classic, Webp};
        for (header, wanted) in [
            ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", AvifWebp),
            ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", AvifWebp),
            ("image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,*/*;q=0.8", AvifWebp),
            ("image/webp,*/*;q=0.8", Webp),
            ("image/webp,image/apng,image/*,*/*;q=0.8", Webp),
            ("image/avif,*/*", Avif),
            ("image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5", Classic),
            ("*/*", Classic),
            ("image/*", Classic),
            ("", Classic),
            ("image/avif;q=0,image/webp", Webp),
            ("image/avif;q=0.0,image/webp;q=0.000", Classic),
            ("image/avif,image/webp;q=0", Avif),
            ("image/avif;q=0.5,image/webp;q=0.9", Webp),
            ("image/avif;q=0.9,image/webp;q=0.5", AvifWebp),
            ("image/webp;q=0.7,image/avif;q=0.7", AvifWebp),
            ("IMAGE/AVIF;Q=0.5 , Image/WebP ; q = 0.9", Webp),
            ("image/avif;q=0.001", Avif),
            ("image/jpeg,image/webp;q=0.8", Classic),
            ("image/png;q=0.9,image/avif;q=0.8,image/webp;q=0.9", Webp),
            ("image/jpeg;q=0.5,image/webp;q=0.5", Webp),
            ("image/jpeg;q=0,image/webp;q=0.1", Webp),
            ("image/*;q=1,image/webp;q=0.1", Webp),
            ("image/webp;q=1.001", Classic),
            ("image/webp;q=0.1234", Classic),
            ("image/webp;q=-1", Classic),
            ("image/webp;q=", Classic),
            ("image/webp;q=٣", Classic),
            ("image/webp;q=1.000", Webp),
            ("image/webp;q=1.", Webp),
            ("image/webp;q=0,image/webp", Classic),
            ("image/webp,image/webp;q=0", Classic),
            ("image/webp;q=0.2,image/webp;q=0.9,image/jpeg;q=0.5", Webp),
            ("image/avif;codecs=\"av01, x; q=0\";q=0.5", Avif),
            ("text/html;x=\"image/webp,\",image/avif", Avif),
            ("text/html;x=\"\\\",image/webp\",image/avif", Avif),
            ("text/html;x=\"unclosed,image/webp", Classic),
            ("image/webpx,ximage/webp,image/web,webp", Classic),
            (",,;;q=1,=,image/webp", Webp),
            ("application/json", Classic),
        ] {
            assert_eq!(negotiate(Some(header)), wanted, "{header}");
        }
        assert_eq!(negotiate(None), Classic);
    }

    #[test]
    fn only_four_kibibytes_are_read() {
        let filler = "text/x,".repeat(700);
        assert_eq!(negotiate(Some(&format!("image/webp,{filler}image/avif"))), Accepts::Webp);
        assert_eq!(negotiate(Some(&"a".repeat(100_000))), Accepts::Classic);
        let cut = format!("image/webp,{}image/avif;q=0", " ".repeat(4_096 - 11 - 10));
        assert_eq!(negotiate(Some(&cut)), Accepts::Webp);
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_panic(header in ".{0,300}") {
            let _ = negotiate(Some(&header));
        }

        #[test]
        fn a_type_with_weight_nought_is_never_offered(
            mut items in prop::collection::vec("(image|\\*)/(jpeg|png|gif|\\*)(;q=0\\.[0-9])?", 0..6),
        ) {
            items.push("image/avif;q=0".to_owned());
            items.push("image/webp;q=0".to_owned());
            prop_assert_eq!(negotiate(Some(&items.join(", "))), Accepts::Classic);
        }
    }
}
