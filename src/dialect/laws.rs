//! What must hold of the dialect whatever is asked: order and spelling never matter, what
//! changes bytes always does, no text makes the parser panic, no accepted size is over a limit.

use super::options::{self, Reader};
use super::presets::Presets;
use super::request::{DialectSettings, IgnoredName, UnknownParams, parse};
use crate::model::geometry::Fit;
use crate::model::limits::Limits;
use crate::model::transform::{Accepts, Resize, Transform};
use crate::model::units::{ByteSize, PixelCount};
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::LazyLock;

/// The limits of these tests.
pub(super) const LIMITS: Limits = Limits {
    source_bytes: ByteSize::new(32 << 20),
    source_pixels: PixelCount::new(50_000_000),
    output_side: 8_192,
    frames: 100,
    avif_pixels: PixelCount::new(4_000_000),
};

static IGNORED: LazyLock<Vec<IgnoredName>> = LazyLock::new(|| {
    ["v", "utm_*", "fbclid", "gclid", "dpl"].into_iter().filter_map(IgnoredName::new).collect()
});
static NO_PRESETS: LazyLock<Presets> = LazyLock::new(Presets::default);

/// The settings of these tests: as a deployment has them by default, without presets.
pub(super) fn settings() -> DialectSettings<'static> {
    DialectSettings { presets: &NO_PRESETS, unknown: UnknownParams::Refuse, ignored: &IGNORED }
}

/// The wish of a native URL with this query; `Err` is the sentence of the refusal.
pub(super) fn wish(query: &str, accepts: Accepts) -> Result<Transform, String> {
    let request = parse(&format!("/k.jpg?{query}"), &settings()).map_err(|e| e.to_string())?;
    request.resolve(accepts, &LIMITS).map_err(|e| e.to_string())
}

/// Each parameter that changes bytes: what makes it matter, and values that all differ in effect.
fn rows() -> Vec<(&'static str, &'static str, BoxedStrategy<String>)> {
    let text = |regex: &str| proptest::string::string_regex(regex).unwrap().boxed();
    let words = |words: &'static [&'static str]| select(words).prop_map(str::to_owned).boxed();
    vec![
        ("w", "", text("[1-9][0-9]{0,2}")),
        ("h", "", text("[1-9][0-9]{0,2}")),
        ("dpr", "w=777", text("0\\.[1-9]|[1-7]\\.[1-9]")),
        ("fit", "w=10&h=20", words(&["inside", "cover", "pad", "stretch", "outside"])),
        ("enlarge", "w=10", words(&["0", "1"])),
        ("ar", "w=500", text("1:[1-9]")),
        ("g", "w=10&h=20&fit=cover", text("smart|n|ne|e|0\\.[1-9],0\\.[1-9]")),
        ("crop", "", text("[1-9],[1-9],[1-9],[1-9]|0\\.[1-9],0\\.[1-9],0\\.[1-9],0\\.[1-9]")),
        ("rot", "", text("[1-9][0-9]?(\\.[1-9])?")),
        ("flip", "", words(&["h", "v", "hv"])),
        ("bg", "", text("[0-9a-f]{6}")),
        ("blur", "", text("[1-9][0-9]?(\\.[1-9])?")),
        ("sharpen", "", text("[1-9](\\.[1-9])?")),
        ("gray", "", words(&["0", "1"])),
        ("f", "", words(&["auto", "jpeg", "png", "webp", "avif", "gif", "source"])),
        ("q", "", text("[1-9][0-9]?|(jpeg|webp|avif):[1-9][0-9]?")),
        ("lossless", "", words(&["0", "1"])),
        ("progressive", "", words(&["0", "1"])),
    ]
}

/// Random subsets of the parameters, each with a random value.
fn queries() -> impl Strategy<Value = Vec<String>> {
    let maybe = |(name, _, values): (&'static str, &str, BoxedStrategy<String>)| {
        proptest::option::of(values.prop_map(move |value| format!("{name}={value}")))
    };
    let all: Vec<_> = rows().into_iter().map(maybe).collect();
    all.prop_map(|pieces| pieces.into_iter().flatten().collect::<Vec<_>>())
        .prop_filter("something is asked", |pieces| !pieces.is_empty())
}

fn shuffled() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    queries().prop_flat_map(|pieces| (Just(pieces.clone()), Just(pieces).prop_shuffle()))
}

fn accepts() -> impl Strategy<Value = Accepts> {
    select(&[Accepts::AvifWebp, Accepts::Avif, Accepts::Webp, Accepts::Classic][..])
}

/// Another way to write the same piece.
fn respelt(piece: &str) -> String {
    match piece.split_once('=').unwrap() {
        ("crop", value) => format!("rect={}", value.replace(',', "%2C")),
        ("rot", value) => {
            let degrees: f64 = value.parse().unwrap();
            format!("rot={:.1}", degrees - 360.0)
        }
        ("f", "jpeg") => "f=JPG".to_owned(),
        ("dpr" | "blur" | "sharpen", value) if value.contains('.') => format!("{piece}00"),
        (name @ ("gray" | "enlarge" | "lossless" | "progressive"), "1") => name.to_owned(),
        (name @ ("fit" | "bg" | "f" | "flip" | "g" | "q"), value) => {
            format!("{name}={}", value.to_ascii_uppercase())
        }
        (name, value) => {
            let escaped: Vec<_> = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            format!("{name}={}", escaped.concat())
        }
    }
}

#[test]
fn every_parameter_that_changes_bytes_has_its_property() {
    let with_row: Vec<_> = rows().into_iter().map(|(name, ..)| name).collect();
    let in_table: Vec<_> = options::all()
        .filter(|spec| matches!(spec.reader, Reader::Wish(_)))
        .map(|spec| spec.name)
        .collect();
    assert_eq!(with_row, in_table);
}

#[test]
fn every_example_of_the_table_is_valid() {
    let presets = Presets::parse("[thumb]\nparams = \"w=1\"").unwrap();
    let settings = DialectSettings { presets: &presets, ..settings() };
    for spec in options::all() {
        assert!(spec.example.starts_with(&format!("{}=", spec.name)), "{}", spec.name);
        let target = format!("/k.jpg?w=9&{}", spec.example);
        let target = if spec.name == "w" { "/k.jpg?w=400".to_owned() } else { target };
        assert_eq!(parse(&target, &settings).is_ok(), spec.is_built(), "{target}");
    }
}

#[test]
fn every_bound_of_the_table_is_the_bound_of_the_reader() {
    use crate::model::units::Decimal;
    let step = 100_000;
    for spec in options::all() {
        let options::ValueKind::Number { min, max } = spec.kind else { continue };
        for (value, inside) in [
            (min, true),
            (max, true),
            (Decimal::from_micros(min.micros() - step), false),
            (Decimal::from_micros(max.micros() + step), false),
        ] {
            let query = format!("{}={value}", spec.name);
            assert_eq!(wish(&query, Accepts::Classic).is_ok(), inside, "{query}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn order_never_matters((ordered, shuffled) in shuffled(), accepts in accepts()) {
        let canonical = |pieces: &[String]| {
            wish(&pieces.join("&"), accepts).map(|wish| wish.canonical())
        };
        prop_assert_eq!(canonical(&ordered), canonical(&shuffled));
    }

    #[test]
    fn spelling_never_matters(pieces in queries(), accepts in accepts()) {
        let other: Vec<_> = pieces.iter().map(|piece| respelt(piece)).collect();
        let (one, two) = (wish(&pieces.join("&"), accepts), wish(&other.join("&"), accepts));
        prop_assert_eq!(&one, &two, "{:?}", other);
        if let (Ok(one), Ok(two)) = (one, two) {
            prop_assert_eq!(one.canonical(), two.canonical());
        }
    }

    #[test]
    fn different_wishes_are_spelt_differently(
        one in queries(), two in queries(), (a, b) in (accepts(), accepts()),
    ) {
        let (one, two) = (wish(&one.join("&"), a), wish(&two.join("&"), b));
        if let (Ok(one), Ok(two)) = (one, two) {
            prop_assert_eq!(one == two, one.canonical() == two.canonical());
        }
    }

    #[test]
    fn every_parameter_changes_the_spelling_where_it_matters(
        (name, context, a, b) in select(rows()).prop_flat_map(|(name, context, values)| {
            (Just(name), Just(context), values.clone(), values)
        }),
    ) {
        let canonical = |value: &str| {
            let wish = wish(&format!("{context}&{name}={value}"), Accepts::Classic);
            wish.map(|wish| wish.canonical())
        };
        let (one, two) = (canonical(&a), canonical(&b));
        prop_assert!(one.is_ok() && two.is_ok(), "{:?} {:?}", one, two);
        prop_assert_eq!(a == b, one == two, "{}: {} and {}", name, a, b);
    }

    #[test]
    fn what_a_client_accepts_is_in_the_spelling_of_negotiable_wishes_only(
        pieces in queries(), a in accepts(), b in accepts(),
    ) {
        let query = pieces.join("&");
        let (one, two) = (wish(&query, a), wish(&query, b));
        if let (Ok(one), Ok(two)) = (one, two) {
            let negotiable = pieces.contains(&"f=auto".to_owned());
            prop_assert_eq!(one.canonical() == two.canonical(), a == b || !negotiable);
        }
    }

    #[test]
    fn no_accepted_size_is_nought_or_over_the_limit(
        w in "[0-9]{1,6}|[1-9][0-9]{0,3}",
        h in proptest::option::of("[0-9]{1,11}|[1-9][0-9]{0,3}"),
        dpr in "[0-9](\\.[0-9]{1,7})?",
        ar in proptest::option::of("[0-9]{1,9}(\\.[0-9]{1,6})?:[0-9]{1,9}(\\.[0-9]{1,6})?"),
        sized: bool,
    ) {
        let mut target = format!("/k.jpg?w={w}&dpr={dpr}");
        for (name, value) in [("h", &h), ("ar", &ar)] {
            if let Some(value) = value {
                target = format!("{target}&{name}={value}");
            }
        }
        if sized {
            target = format!("/{w}x{}/k.jpg", h.unwrap_or_default());
        }
        let Ok(request) = parse(&target, &settings()) else { return Ok(()) };
        let Ok(wish) = request.resolve(Accepts::Classic, &LIMITS) else { return Ok(()) };
        let (width, height) = match wish.resize {
            Resize::Keep => (1, 1),
            Resize::Width { width, .. } => (width.get(), 1),
            Resize::Height { height, .. } => (1, height.get()),
            Resize::Box { width, height, fit, .. } => {
                prop_assert!(!sized || fit == Fit::Cover);
                (width.get(), height.get())
            }
        };
        prop_assert!((1..=8_192).contains(&width) && (1..=8_192).contains(&height), "{}", target);
    }
}

/// Pieces that take a random target deep into the parser.
const TOKENS: &[&str] = &[
    "/",
    "@",
    "x",
    "300x200/",
    "%",
    "%2",
    "%2F",
    "%00",
    "%ff",
    "..",
    "a",
    "é",
    "?",
    "&",
    "=",
    "w",
    "h=",
    "dpr=",
    "crop=",
    "rect=",
    "q=avif:",
    "g=",
    "ar=",
    "bg=",
    "rot=-",
    "key=",
    "s=",
    "preset=",
    "default",
    "amp;",
    "1",
    "0",
    "9999999999",
    "-",
    "+",
    ".",
    ",",
    ":",
    "e",
    "\u{663}",
    "f=auto",
    "lossless",
    "utm_",
    "trim",
    "#",
    ";",
    "\0",
    "\\",
    "width",
    "exp=",
    "dl=",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_text_makes_the_parser_panic(
        text in ".{0,80}",
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        tokens in prop::collection::vec(select(TOKENS), 0..14),
    ) {
        let presets = Presets::parse("[default]\nparams = \"ar=3:2&q=70\"").unwrap();
        for unknown in [UnknownParams::Refuse, UnknownParams::Ignore] {
            for presets in [&presets, &NO_PRESETS] {
                let settings = DialectSettings { presets, unknown, ..settings() };
                let lossy = String::from_utf8_lossy(&bytes);
                let tokens = tokens.concat();
                for part in [text.as_str(), &lossy, &tokens] {
                    for target in [part.to_owned(), format!("/{part}"), format!("/k?{part}")] {
                        match parse(&target, &settings) {
                            Ok(request) => {
                                let _ = request.check_closed(presets);
                                let _ = request.mirror_path();
                                let wish = request.resolve(Accepts::Avif, &LIMITS);
                                let _ = wish.map(|wish| wish.canonical());
                            }
                            Err(fault) => {
                                let sentence = fault.to_string();
                                prop_assert!(!sentence.contains(char::is_control), "{}", sentence);
                                prop_assert!(sentence.len() < 2_000, "{}", sentence);
                            }
                        }
                    }
                }
            }
        }
    }
}
