//! What targets mean and what they are refused for, case by case.

use super::super::laws::{LIMITS, settings, wish};
use super::*;
use crate::model::draft::FormatWish;
use crate::model::transform::{Bounds, Resize};

fn read(target: &str) -> ImageRequest {
    parse(target, &settings()).unwrap_or_else(|fault| panic!("{target}: {fault}"))
}

fn refused(target: &str) -> String {
    match parse(target, &settings()) {
        Err(fault) => fault.to_string(),
        Ok(request) => panic!("{target} was taken: {request:?}"),
    }
}

fn kind(query: &str) -> BadParamKind {
    match parse(&format!("/k.jpg?{query}"), &settings()) {
        Err(RequestError::Parameter(fault)) => fault.kind,
        other => panic!("{query}: {other:?}"),
    }
}

fn source(target: &str) -> String {
    read(&format!("{target}?w=1")).source.to_string()
}

/// The spelling without what the limits add to it.
fn unbounded(wish: &Transform) -> String {
    Transform { bounds: Bounds::default(), ..wish.clone() }.canonical()
}

fn canonical(query: &str) -> String {
    unbounded(&wish(query, Accepts::Classic).unwrap_or_else(|fault| panic!("{query}: {fault}")))
}

#[test]
fn a_path_names_an_origin_and_a_key() {
    assert_eq!(source("/photos/cat.jpg"), "default:photos/cat.jpg");
    assert_eq!(source("/@shop/photos/cat.jpg"), "shop:photos/cat.jpg");
    assert_eq!(source("/@default/cat.jpg"), "default:cat.jpg");
    assert_eq!(source("/@/10x10/a.jpg"), "default:10x10/a.jpg");
    assert_eq!(source("/@/@shop/a.jpg"), "default:@shop/a.jpg");
    assert_eq!(source("/a@2x.png"), "default:a@2x.png");
    assert_eq!(source("/@shop/300x200/a.jpg"), "shop:300x200/a.jpg");
}

#[test]
fn a_path_is_decoded_once_and_then_read() {
    assert_eq!(source("/a%20b.jpg"), "default:a b.jpg");
    assert_eq!(source("/a+b.jpg"), "default:a+b.jpg");
    assert_eq!(source("/a%252Fb.jpg"), "default:a%2Fb.jpg");
    assert_eq!(source("/a%2Fb.jpg"), "default:a/b.jpg");
    assert_eq!(source("/a%2fb.jpg"), "default:a/b.jpg");
    assert_eq!(source("/%40shop/b.jpg"), "shop:b.jpg");
    assert_eq!(source("/%E7%8C%AB.jpg"), "default:猫.jpg");
    assert_eq!(source("/猫.jpg"), "default:猫.jpg");
    assert_eq!(source("/e%CC%81.jpg"), "default:e\u{301}.jpg");
    assert_eq!(source("/a\\b.jpg"), "default:a\\b.jpg");
    assert_eq!(source("/a%3Fb%23.jpg"), "default:a?b#.jpg");
    assert_eq!(read("/300x200%2Fcat.jpg").sized, Some(SizedPath { width: 300, height: 200 }));
}

#[test]
fn a_path_that_names_nothing_is_refused() {
    for (path, wanted) in [
        ("/", "names no image"),
        ("", "names no image"),
        ("cat.jpg", "does not start with /"),
        ("http://h/cat.jpg", "does not start with /"),
        ("/a/", "empty segment"),
        ("//a", "empty segment"),
        ("/a//b", "empty segment"),
        ("/a%2F%2Fb", "empty segment"),
        ("/a/../b", "\"..\""),
        ("/a/%2e%2e/b", "\"..\""),
        ("/..%2fb", "\"..\""),
        ("/./b", "\".\""),
        ("/a%00b", "control"),
        ("/a%0Ab", "control"),
        ("/a%7Fb", "control"),
        ("/a%ff", "UTF-8"),
        ("/a%c0%af", "UTF-8"),
        ("/a%ed%a0%80", "UTF-8"),
        ("/100%.jpg", "hex digits"),
        ("/a%2", "hex digits"),
        ("/a%+1b", "hex digits"),
        ("/a%é", "hex digits"),
        ("/@shop", "empty"),
        ("/@shop/", "empty"),
        ("/@/", "empty"),
        ("/@Shop/a.jpg", "\"Shop\""),
        ("/@a_b/a.jpg", "\"a_b\""),
        ("/300x200/", "empty segment"),
        ("/300x200//a.jpg", "empty segment"),
        ("/300x200/../a.jpg", "\"..\""),
    ] {
        let shown = refused(&format!("{path}?w=1"));
        assert!(shown.contains(wanted), "{path}: {shown}");
    }
    assert!(refused("/a.jpg?w=1#top").contains("fragment"));
}

#[test]
fn a_size_in_the_path_is_an_exact_box() {
    let request = read("/300x200/photos/cat.jpg?v=2&exp=1900000000&s=abc");
    assert_eq!(request.sized.unwrap().to_string(), "300x200");
    assert_eq!(request.source.to_string(), "default:photos/cat.jpg");
    assert_eq!(request.mirror_path().as_deref(), Some("300x200/photos/cat.jpg"));
    assert_eq!(request.version.as_deref(), Some("2"));
    assert_eq!(request.access, Access { exp: Some(1_900_000_000), signed: true });
    assert!(!request.is_negotiable());
    let spelt = unbounded(&request.resolve(Accepts::AvifWebp, &LIMITS).unwrap());
    assert_eq!(spelt, "w=300,h=200,fit=cover,g=0.5:0.5,enlarge=1,f=source,q=80");
    assert_eq!(spelt, canonical("w=300&h=200&fit=cover&enlarge"));
}

#[test]
fn a_size_in_the_path_may_leave_one_side_free() {
    let spelt = |target| unbounded(&read(target).resolve(Accepts::Classic, &LIMITS).unwrap());
    assert_eq!(spelt("/0x200/a.jpg"), "h=200,enlarge=1,f=source,q=80");
    assert_eq!(spelt("/300x0/a.jpg"), "w=300,enlarge=1,f=source,q=80");
    assert_eq!(read("/0x200/a.jpg").mirror_path().as_deref(), Some("0x200/a.jpg"));
    assert!(refused("/0x0/a.jpg").contains("one side has to be given"));
    assert!(refused("/0300x200/a.jpg").contains("leading zeros"));
    assert!(refused("/00x200/a.jpg").contains("leading zeros"));
    let huge = read("/99999x1/a.jpg").resolve(Accepts::Classic, &LIMITS).unwrap_err();
    assert!(huge.to_string().contains("1–8192"), "{huge}");
}

#[test]
fn what_only_looks_like_a_size_is_a_key() {
    for path in ["/300000x200/a.jpg", "/x200/a.jpg", "/300X200/a.jpg", "/a300x200/b.jpg", "/3x2"] {
        assert_eq!(read(&format!("{path}?w=1")).sized, None, "{path}");
    }
    assert_eq!(read("/30x20/10x10/a.jpg").source.to_string(), "default:10x10/a.jpg");
    assert_eq!(read("/30x20/@shop/a.jpg").source.to_string(), "default:@shop/a.jpg");
}

#[test]
fn a_size_in_the_path_takes_nothing_that_changes_it() {
    for query in ["w=1", "f=webp", "preset=thumb", "dl", "q=3", "dpr=2", "key=1x1/a", "wdth=1"] {
        assert!(parse(&format!("/3x2/a.jpg?{query}"), &settings()).is_err(), "{query}");
    }
    assert!(refused("/3x2/a.jpg?w=1").contains("behind /@/"));
    assert!(read("/3x2/a.jpg?utm_source=x&fbclid=1").sized.is_some());
}

#[test]
fn a_redirect_of_an_s3_website_is_a_size_in_the_path() {
    for target in
        ["/?key=300x200/a%20b.jpg", "?key=300x200/a%20b.jpg", "/?v=1&key=300x200%2Fa%20b.jpg"]
    {
        let request = read(target);
        assert_eq!(request.mirror_path().as_deref(), Some("300x200/a b.jpg"), "{target}");
    }
    assert!(refused("/?key=a.jpg").contains("300x200/cat.jpg"));
    assert!(refused("/?key").contains("300x200/cat.jpg"));
    assert!(refused("/?key=1x1/a&key=2x2/a").contains("twice"));
    assert!(refused("/?key=0x0/a").contains("one side"));
    assert!(refused("/?key=3x2/a&w=1").contains("size in the path"));
    assert!(refused("/?key=3x2/a%ff").contains("UTF-8"));
    assert!(refused("/?w=300").contains("names no image"));
    assert!(refused("/k.jpg?key=3x2/a&w=3").contains("key= is read on / alone"));
}

#[test]
fn numbers_have_one_spelling() {
    for text in ["007", "+5", "1e3", "٣", "5.0", "0x10", "-1", "1 ", "NaN", "inf", "1_0", "1,0"] {
        assert_eq!(kind(&format!("w={text}")), BadParamKind::Malformed, "{text}");
    }
    for text in ["007", "+5", "1e3", "٣", "00.5", "-01", "5.", "NaN", "inf", "1,5"] {
        assert_eq!(kind(&format!("blur={text}")), BadParamKind::Malformed, "{text}");
    }
    assert_eq!(kind("w=0"), BadParamKind::OutOfRange);
    assert_eq!(kind("w=4294967296"), BadParamKind::OutOfRange);
    assert_eq!(kind("w=99999999999999999999999"), BadParamKind::OutOfRange);
    assert_eq!(kind("dpr=0"), BadParamKind::OutOfRange);
    assert_eq!(kind("dpr=8.1"), BadParamKind::OutOfRange);
    assert_eq!(kind("q=0"), BadParamKind::OutOfRange);
    assert_eq!(kind("q=101"), BadParamKind::OutOfRange);
    assert_eq!(kind("q=300"), BadParamKind::OutOfRange);
    assert_eq!(kind("rot=361"), BadParamKind::OutOfRange);
}

#[test]
fn a_bare_name_is_on_where_that_makes_sense() {
    assert_eq!(canonical("gray"), canonical("gray=1"));
    assert_eq!(canonical("gray=TRUE&w=3"), canonical("w=3&gray"));
    assert_eq!(canonical("gray=0&w=3"), canonical("w=3"));
    for query in ["w", "w=", "gray=", "fit=", "v=&w=1", "preset=", "preset", "dl=&w=1", "s&w=1"] {
        assert_eq!(kind(query), BadParamKind::Empty, "{query}");
    }
    assert_eq!(kind("gray=2"), BadParamKind::Malformed);
}

#[test]
fn a_parameter_stands_once_under_one_name() {
    for query in ["w=1&w=1", "crop=0,0,1,1&rect=0,0,1,1", "v=1&w=1&v=2", "s=a&w=1&s=b"] {
        assert_eq!(kind(query), BadParamKind::Duplicate, "{query}");
    }
    assert!(refused("/a?crop=0,0,1,1&rect=0,0,2,2").contains("\"rect\""));
}

#[test]
fn unknown_names_are_refused_or_passed_over() {
    assert_eq!(kind("width=3"), BadParamKind::Unknown);
    assert_eq!(kind("w=3&amp;h=3"), BadParamKind::Unknown);
    assert_eq!(kind("W=3"), BadParamKind::Unknown);
    assert_eq!(kind("trim=10"), BadParamKind::NotYet);
    assert!(refused("/a?widht=300").ends_with("use w="));
    assert!(refused("/a?trim").contains("not supported in this version"));
    let lenient = DialectSettings { unknown: UnknownParams::Ignore, ..settings() };
    assert!(parse("/a?w=3&nonsense=%zz", &lenient).is_ok());
    assert!(parse("/a?w=3&trim=10", &lenient).is_err());
    assert!(parse("/a?w=3&utm_source=%zz&fbclid&gclid=1&dpl=x&dpl=y", &settings()).is_ok());
    assert_eq!(read("/a?w=3&v=7").version.as_deref(), Some("7"));
    assert!(parse("/a?w=3&&", &settings()).is_ok());
}

#[test]
fn queries_are_decoded_once_and_a_plus_stays_a_plus() {
    assert_eq!(canonical("crop=0%2C0%2C5%2C5"), canonical("crop=0,0,5,5"));
    assert_eq!(canonical("%77=3"), canonical("w=3"));
    assert_eq!(read("/a?w=1&v=a+b%2B%2525").version.as_deref(), Some("a+b+%25"));
    assert_eq!(kind("w=%zz"), BadParamKind::Malformed);
    assert_eq!(kind("v=%ff"), BadParamKind::Malformed);
    assert_eq!(kind("%ff=1"), BadParamKind::Malformed);
    assert_eq!(kind("v=%00"), BadParamKind::Malformed);
}

#[test]
fn words_of_other_systems_are_refused_with_what_they_would_be() {
    for (query, wanted) in [
        ("w=1&h=1&fit=fill", "inside fits"),
        ("w=1&h=1&fit=contain", "cover fills"),
        ("fit=crop", "use fit=cover"),
        ("crop=faces", "use g="),
        ("g=sm", "use g=smart"),
        ("g=north", "use n, ne"),
        ("f=cover", "use fit="),
        ("f=pjpg", "progressive=1"),
        ("s=200x200&w=1", "use w= and h="),
        ("s=200&w=1", "use w= and h="),
        ("bg=%23fff", "without #"),
        ("exp=1900000000000&w=1", "11 digits"),
    ] {
        let shown = refused(&format!("/a?{query}"));
        assert!(shown.contains(wanted), "{query}: {shown}");
    }
    for word in ["inside", "cover", "pad", "stretch"] {
        assert!(refused("/a?w=1&fit=fill").contains(word), "{word}");
    }
}

#[test]
fn downloads_have_a_name_or_the_sources() {
    let download = |query: &str| read(&format!("/a.jpg?w=1&{query}")).download;
    assert_eq!(download("dl"), Some(Download::SourceName));
    assert_eq!(download("dl=1"), Some(Download::SourceName));
    assert_eq!(download("dl=0"), None);
    assert_eq!(download("dl=c%20d.png"), Some(Download::Named("c d.png".to_owned())));
    for bad in ["dl=a/b", "dl=a%5Cb", "dl=..", "dl=a%0d%0ab"] {
        assert_eq!(kind(&format!("w=1&{bad}")), BadParamKind::Malformed, "{bad}");
    }
    assert_eq!(kind(&format!("w=1&dl={}", "a".repeat(201))), BadParamKind::OutOfRange);
}

fn with_presets<T>(text: &str, then: impl FnOnce(&DialectSettings<'_>) -> T) -> T {
    let presets = Presets::parse(text).unwrap();
    then(&DialectSettings { presets: &presets, ..settings() })
}

#[test]
fn nothing_asked_is_the_default_preset_or_an_example() {
    for target in ["/a.jpg", "/a.jpg?", "/a.jpg?v=1&dl&utm_x=1", "/a.jpg?exp=1900000000&s=abc"] {
        assert!(refused(target).contains("?w=400"), "{target}");
    }
    with_presets("[default]\nparams = \"w=99&f=auto\"", |settings| {
        let request = parse("/a.jpg?v=1", settings).unwrap();
        assert_eq!(request.wish.preset.as_deref(), Some("default"));
        assert!(request.is_negotiable());
        let explicit = parse("/a.jpg?h=5", settings).unwrap();
        assert_eq!((explicit.wish.preset, explicit.wish.draft.width), (None, None));
    });
}

#[test]
fn a_preset_is_its_parameters_and_explicit_ones_win() {
    let text = "[thumb]\nparams = \"w=200&h=200&fit=cover&f=auto\"\nallow = [\"dpr\"]";
    with_presets(text, |settings| {
        let spelt = |target| {
            let request = parse(target, settings).unwrap();
            unbounded(&request.resolve(Accepts::Webp, &LIMITS).unwrap())
        };
        let written = spelt("/a?f=auto&h=200&fit=cover&w=200");
        assert_eq!(spelt("/a?preset=thumb"), written);
        assert_eq!(spelt("/a?preset=thumb&dpr=2"), spelt("/a?w=400&h=400&fit=cover&f=auto"));
        assert_eq!(spelt("/a?f=png&preset=thumb"), spelt("/a?w=200&h=200&fit=cover&f=png"));
        let request = parse("/a?preset=thumb&f=source", settings).unwrap();
        assert_eq!(request.wish.draft.format, Some(FormatWish::Source));
        assert!(!request.is_negotiable());
        let missing = parse("/a?preset=thum", settings).unwrap_err().to_string();
        assert!(missing.contains("did you mean thumb?"), "{missing}");
    });
}

#[test]
fn a_closed_preset_takes_only_what_it_allows() {
    let text = "[thumb]\nparams = \"w=20&f=auto\"\nallow = [\"dpr\"]\n[default]\nparams = \"w=9\"";
    with_presets(text, |settings| {
        let check = |target| parse(target, settings).unwrap().check_closed(settings.presets);
        for open in ["/a?preset=thumb", "/a?preset=thumb&dpr=2&v=1&dl=b&exp=1900000000", "/a"] {
            assert_eq!(check(open), Ok(()), "{open}");
        }
        for none in ["/a?w=20&f=auto", "/a?w=20", "/20x0/a"] {
            assert_eq!(check(none), Err(PolicyError::NoPreset), "{none}");
        }
        let added = check("/a?preset=thumb&dpr=2&q=50").unwrap_err().to_string();
        assert!(added.contains(" q ") && added.contains("takes dpr"), "{added}");
        // What is allowed may not be added where there is no preset to add it to.
        assert_eq!(check("/a?dpr=2"), Err(PolicyError::NoPreset));
    });
}

#[test]
fn crops_are_pixels_or_fractions() {
    assert_eq!(canonical("crop=1,2,3,4"), "crop=1px:2px:3px:4px,f=source,q=80");
    assert_eq!(canonical("rect=0.1,0.2,0.5,10"), "crop=0.1:0.2:0.5:10px,f=source,q=80");
    assert_eq!(canonical("crop=0.0,0,1.0,1.0"), "f=source,q=80");
    for empty in ["0,0,0,5", "0,0,5,0.0", "1.0,0,5,5", "0,0,1.5,1.0", "0,0,4294967296,1"] {
        assert_eq!(kind(&format!("crop={empty}")), BadParamKind::OutOfRange, "{empty}");
    }
    for bad in ["1,2,3", "1,2,3,4,5", "1,2,3,", "-1,0,5,5", "01,0,5,5", "1;2;3;4", "top,left"] {
        assert_eq!(kind(&format!("crop={bad}")), BadParamKind::Malformed, "{bad}");
    }
}

#[test]
fn positions_are_names_or_points() {
    let place = |g: &str| canonical(&format!("w=9&h=9&fit=cover&g={g}"));
    assert_eq!(place("top"), place("N"));
    assert_eq!(place("left"), place("w"));
    assert_eq!(place("center"), canonical("w=9&h=9&fit=cover"));
    assert!(place("0.25,1").contains("g=at:0.25:1"));
    for bad in ["g=0.5", "g=a,b", "g=0.5,0.5,0.5", "g=middle"] {
        assert_eq!(kind(bad), BadParamKind::Malformed, "{bad}");
    }
    assert_eq!(kind("g=0.5,1.1"), BadParamKind::OutOfRange);
    assert_eq!(kind("g=-0.1,0"), BadParamKind::OutOfRange);
}

#[test]
fn qualities_are_common_or_of_a_codec() {
    assert_eq!(canonical("q=50"), "f=source,q=50");
    assert_eq!(canonical("q=webp:76,avif:55"), "f=source,q=80:webp:76:avif:55");
    assert_eq!(canonical("q=avif:55,70,jpg:60"), "f=source,q=70:jpeg:60:avif:55");
    for bad in ["q=png:5", "q=avif", "q=avif:", "q=50,60", "q=jpg:5,jpeg:5", "q=50,", "q=5.5"] {
        assert_eq!(kind(bad), BadParamKind::Malformed, "{bad}");
    }
    assert_eq!(kind("q=avif:101"), BadParamKind::OutOfRange);
}

#[test]
fn ratios_are_two_numbers_above_nought() {
    assert!(wish("ar=16:9", Accepts::Classic).unwrap_err().contains("w or h"));
    for bad in ["ar=16", "ar=16:9:4", "ar=a:b", "ar=16x9", "ar=-1:1"] {
        let found = kind(&format!("w=1&{bad}"));
        assert!(matches!(found, BadParamKind::Malformed | BadParamKind::OutOfRange), "{bad}");
    }
    assert_eq!(kind("w=1&ar=0:1"), BadParamKind::OutOfRange);
    assert!(matches!(
        wish("w=160&ar=16:9", Accepts::Classic).unwrap().resize,
        Resize::Box { height, .. } if height.get() == 90
    ));
}

#[test]
fn ignored_names_are_whole_or_beginnings() {
    let utm = IgnoredName::new("utm_*").unwrap();
    assert!(utm.matches("utm_source") && utm.matches("utm_") && !utm.matches("utm"));
    let exact = IgnoredName::new("fbclid").unwrap();
    assert!(exact.matches("fbclid") && !exact.matches("fbclid2"));
    for bad in ["", "*", "a*b", "**"] {
        assert_eq!(IgnoredName::new(bad), None, "{bad}");
    }
}

#[test]
fn the_origin_of_a_target_is_told_whatever_its_parameters() {
    for (target, origin) in [
        ("/cat.jpg?nonsense", Some("default")),
        ("/@shop/cat.jpg?w=x&s=y", Some("shop")),
        ("/%40shop/cat.jpg", Some("shop")),
        ("/@/@shop/cat.jpg", Some("default")),
        ("/300x200/@shop/cat.jpg", Some("default")),
        ("/?key=300x200/cat.jpg", Some("default")),
        ("/@shop/", None),
        ("cat.jpg", None),
    ] {
        let found = origin_of(target);
        assert_eq!(found.as_ref().map(OriginName::as_str), origin, "{target}");
    }
}
