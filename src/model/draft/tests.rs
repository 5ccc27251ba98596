//! What a draft comes to: sizes, what is dropped, what is at odds.

use super::*;
use crate::model::units::{ByteSize, PixelCount};
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    source_bytes: ByteSize::new(1 << 20),
    source_pixels: PixelCount::new(50_000_000),
    output_side: 8_192,
    frames: 100,
    avif_pixels: PixelCount::new(4_000_000),
};

fn px(n: u32) -> Option<Px> {
    Px::new(n)
}

fn number(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn ratio(width: &str, height: &str) -> Ratio {
    Ratio { width: number(width), height: number(height) }
}

fn named(format: Format) -> Draft {
    Draft { format: Some(FormatWish::Named(format)), ..Draft::default() }
}

fn resolve(draft: &Draft) -> Transform {
    draft.resolve(Accepts::Classic, &LIMITS).unwrap()
}

fn spelt(draft: &Draft, accepts: Accepts) -> String {
    // What the limits add has a test of its own.
    let wish = draft.resolve(accepts, &LIMITS).unwrap();
    Transform { bounds: Bounds::default(), ..wish }.canonical()
}

fn quality(n: u8) -> Option<Quality> {
    Quality::new(n)
}

#[test]
fn dpr_is_folded_into_sizes_and_blur_and_nothing_else() {
    let draft = Draft {
        width: px(333),
        height: px(1),
        dpr: Some(number("1.5")),
        blur: Some(number("2.5")),
        sharpen: Some(number("2")),
        ..Draft::default()
    };
    let once = spelt(&draft, Accepts::Classic);
    assert_eq!(once, "w=500,h=2,fit=inside,blur=3.75,sharpen=2,f=source,q=80");
    let tiny = Draft { width: px(1), dpr: Some(number("0.1")), ..Draft::default() };
    assert_eq!(spelt(&tiny, Accepts::Classic), "w=1,f=source,q=80");
}

#[test]
fn a_ratio_supplies_the_missing_side_from_the_exact_product() {
    let side = |draft: Draft| match resolve(&draft).resize {
        Resize::Box { width, height, .. } => (width.get(), height.get()),
        other => panic!("{other:?}"),
    };
    let draft = Draft { width: px(100), ratio: Some(ratio("3", "2")), ..Draft::default() };
    assert_eq!(side(draft.clone()), (100, 67));
    // 2 × 66.67 is 133.3, not 2 × 67.
    assert_eq!(side(Draft { dpr: Some(number("2")), ..draft.clone() }), (200, 133));
    assert_eq!(side(Draft { height: px(50), ..draft }), (100, 50));
    let draft = Draft { height: px(90), ratio: Some(ratio("16", "9")), ..Draft::default() };
    assert_eq!(side(draft), (160, 90));
    let draft = Draft { width: px(1), ratio: Some(ratio("1.91", "1")), ..Draft::default() };
    assert_eq!(side(draft), (1, 1));
}

#[test]
fn a_side_over_the_limit_is_refused_with_the_range() {
    let fault = |draft: Draft| draft.resolve(Accepts::Classic, &LIMITS).unwrap_err();
    let wide = fault(Draft { width: px(8_193), ..Draft::default() });
    assert_eq!((wide.kind, wide.parameter.as_str()), (BadParamKind::OutOfRange, "w"));
    assert!(wide.to_string().contains("\"8193\"") && wide.to_string().contains("1–8192"), "{wide}");
    let dense = fault(Draft { height: px(5_000), dpr: Some(number("2")), ..Draft::default() });
    assert!(dense.to_string().contains("dpr"), "{dense}");
    let long = fault(Draft { width: px(8_000), ratio: Some(ratio("1", "2")), ..Draft::default() });
    assert_eq!(long.parameter, "ar");
    assert!(long.to_string().contains("16000"), "{long}");
    let extreme = fault(Draft {
        width: px(9),
        ratio: Some(ratio("0.000001", "999999999")),
        ..Draft::default()
    });
    assert_eq!(extreme.kind, BadParamKind::OutOfRange);
    let alone = fault(Draft { ratio: Some(ratio("16", "9")), ..Draft::default() });
    assert_eq!(alone.kind, BadParamKind::Missing);
    assert!(alone.to_string().contains("w or h"), "{alone}");
}

#[test]
fn what_a_size_alone_cannot_use_is_dropped() {
    let idle = Draft {
        fit: Some(Fit::Cover),
        gravity: Some(Gravity::Smart),
        enlarge: Some(true),
        dpr: Some(number("3")),
        gray: Some(true),
        ..Draft::default()
    };
    assert_eq!(spelt(&idle, Accepts::Classic), "gray=1,f=source,q=80");
    let one_side = Draft { width: px(5), dpr: None, ..idle.clone() };
    assert_eq!(spelt(&one_side, Accepts::Classic), "w=5,enlarge=1,gray=1,f=source,q=80");
    let boxed = Draft { height: px(5), ..one_side };
    assert!(spelt(&boxed, Accepts::Classic).contains("fit=cover,g=smart,enlarge=1"));
    for fit in [Fit::Inside, Fit::Stretch, Fit::Outside] {
        let free = Draft { fit: Some(fit), ..boxed.clone() };
        let plain = Draft { gravity: None, ..free.clone() };
        assert_eq!(resolve(&free), resolve(&plain));
    }
}

#[test]
fn a_canvas_knows_places_but_no_focus() {
    let at = |gravity| {
        let draft = Draft { width: px(5), height: px(5), fit: Some(Fit::Pad), ..Draft::default() };
        resolve(&Draft { gravity, ..draft })
    };
    let (x, y) = (Decimal::ZERO, Decimal::ONE);
    assert_eq!(at(Some(Gravity::Focus { x, y })), at(Some(Gravity::Slack { x, y })));
    assert_eq!(at(Some(Gravity::Smart)), at(None));
}

#[test]
fn quality_is_dropped_where_nothing_is_lossy() {
    let wish = Some(QualityWish { common: quality(50), webp: quality(60), ..Default::default() });
    for format in [Format::Png, Format::Gif] {
        let plain = spelt(&named(format), Accepts::Classic);
        assert_eq!(spelt(&Draft { quality: wish, ..named(format) }, Accepts::Classic), plain);
    }
    let lossless = Draft { lossless: Some(true), ..named(Format::Webp) };
    let both = Draft { quality: wish, progressive: Some(true), ..lossless.clone() };
    assert_eq!(resolve(&lossless), resolve(&both));
    let free = Draft { lossless: Some(true), quality: wish, ..Draft::default() };
    assert_eq!(spelt(&free, Accepts::Classic), "f=source,q=80,lossless=1");
}

#[test]
fn raw_qualities_stay_for_formats_that_can_come_of_it() {
    let wish = QualityWish {
        common: quality(50),
        jpeg: quality(51),
        webp: quality(52),
        avif: quality(53),
    };
    let of = |format, accepts| {
        let draft = Draft { format: Some(format), quality: Some(wish), ..Draft::default() };
        let spelt = spelt(&draft, accepts);
        spelt.split_once("q=").unwrap().1.to_owned()
    };
    let named = |format| of(FormatWish::Named(format), Accepts::Classic);
    assert_eq!(named(Format::Jpeg), "80:jpeg:51");
    assert_eq!(named(Format::Webp), "80:webp:52");
    assert_eq!(named(Format::Avif), "80:avif:53");
    assert_eq!(of(FormatWish::Auto, Accepts::AvifWebp), "80:webp:52:avif:53");
    assert_eq!(of(FormatWish::Auto, Accepts::Avif), "80:jpeg:51:avif:53");
    assert_eq!(of(FormatWish::Auto, Accepts::Webp), "80:webp:52");
    assert_eq!(of(FormatWish::Auto, Accepts::Classic), "80:jpeg:51");
    assert_eq!(of(FormatWish::Source, Accepts::Classic), "80:jpeg:51:webp:52:avif:53");
    let partly = QualityWish { common: quality(50), avif: quality(53), ..Default::default() };
    let draft = Draft { format: Some(FormatWish::Auto), quality: Some(partly), ..Draft::default() };
    assert!(spelt(&draft, Accepts::AvifWebp).ends_with("q=50:avif:53"));
}

#[test]
fn progressive_is_dropped_where_no_jpeg_can_come_of_it() {
    let kept = |draft: Draft, accepts| {
        let draft = Draft { progressive: Some(true), ..draft };
        draft.resolve(accepts, &LIMITS).unwrap().output.progressive
    };
    let auto = Draft { format: Some(FormatWish::Auto), ..Draft::default() };
    assert!(kept(named(Format::Jpeg), Accepts::Webp) && kept(Draft::default(), Accepts::Webp));
    assert!(kept(auto.clone(), Accepts::Classic) && kept(auto.clone(), Accepts::Avif));
    assert!(!kept(auto.clone(), Accepts::Webp) && !kept(auto, Accepts::AvifWebp));
    for format in [Format::Png, Format::Webp, Format::Avif, Format::Gif] {
        assert!(!kept(named(format), Accepts::Classic));
    }
}

#[test]
fn lossless_contradicts_what_is_always_lossy() {
    let ask =
        |draft: Draft| Draft { lossless: Some(true), ..draft }.resolve(Accepts::Classic, &LIMITS);
    for format in [Format::Jpeg, Format::Gif] {
        assert_eq!(ask(named(format)).unwrap_err().kind, BadParamKind::Contradiction);
        assert!(
            Draft { lossless: Some(false), ..named(format) }
                .resolve(Accepts::Classic, &LIMITS)
                .is_ok()
        );
    }
    assert!(!ask(named(Format::Png)).unwrap().output.lossless);
    assert!(ask(named(Format::Avif)).unwrap().output.lossless);
    let auto = Draft { format: Some(FormatWish::Auto), ..Draft::default() };
    assert!(ask(auto).unwrap().output.lossless);
}

#[test]
fn turns_of_the_same_effect_are_the_same() {
    let turned = |degrees: &str, flip| {
        let wish =
            resolve(&Draft { rotate: Some(number(degrees)), flip: Some(flip), ..Draft::default() });
        (wish.rotate.to_string(), wish.flip)
    };
    // Corners of a picture as (x, y) from its middle, turned clockwise with y down, then mirrored.
    let place = |(degrees, flip): (String, Flip)| {
        let (mut x, mut y) = (1, 2);
        for _ in 0..degrees.parse::<u32>().unwrap() / 90 {
            (x, y) = (-y, x);
        }
        match flip {
            Flip::None => (x, y),
            Flip::Horizontal => (-x, y),
            Flip::Vertical => (x, -y),
            Flip::Both => (-x, -y),
        }
    };
    let mut seen = std::collections::HashMap::new();
    for degrees in ["0", "90", "180", "270"] {
        for flip in [Flip::None, Flip::Horizontal, Flip::Vertical, Flip::Both] {
            let chosen = turned(degrees, flip);
            let effect = place((degrees.to_owned(), flip));
            assert_eq!(place(chosen.clone()), effect, "{degrees} {flip:?}");
            assert_eq!(*seen.entry(effect).or_insert_with(|| chosen.clone()), chosen);
        }
    }
    assert_eq!(seen.len(), 8);
    assert_eq!(turned("45.5", Flip::Both), ("45.5".to_owned(), Flip::Both));
}

#[test]
fn a_background_without_effect_is_dropped() {
    let with =
        |draft: Draft, color| resolve(&Draft { background: Some(color), ..draft }).background;
    let unseen = Rgba { r: 9, g: 9, b: 9, a: 0 };
    assert_eq!(with(named(Format::Jpeg), Rgba::WHITE), None);
    assert_eq!(with(named(Format::Jpeg), unseen), None);
    assert_eq!(with(named(Format::Png), unseen), None);
    assert_eq!(with(named(Format::Png), Rgba::WHITE), Some(Rgba::WHITE));
    assert_eq!(with(Draft::default(), unseen), Some(Rgba::TRANSPARENT));
    assert_eq!(with(Draft::default(), Rgba::WHITE), Some(Rgba::WHITE));
}

#[test]
fn explicit_values_win_over_a_preset_one_by_one() {
    let preset = Draft {
        width: px(200),
        height: px(200),
        fit: Some(Fit::Cover),
        gray: Some(true),
        ..named(Format::Webp)
    };
    let explicit = Draft { width: px(400), gray: Some(false), ..Draft::default() };
    let both = explicit.overlay(&preset);
    assert_eq!((both.width, both.height), (px(400), px(200)));
    assert_eq!((both.gray, both.fit, both.format), (Some(false), preset.fit, preset.format));
    assert_eq!(Draft::default().overlay(&both), both);
    assert_eq!(both.clone().overlay(&Draft::default()), both);
}

proptest! {
    #[test]
    fn a_computed_side_is_the_exact_ratio_rounded_half_up(
        given in 1_u32..=8_192, a in 1_u32..=64, b in 1_u32..=64,
    ) {
        let draft = Draft {
            width: px(given),
            ratio: Some(ratio(&a.to_string(), &b.to_string())),
            ..Draft::default()
        };
        // Exact in a float: the product has 19 bits, and a quotient of such numbers is never
        // nearer to a half than a float can tell.
        let wanted = (f64::from(given) * f64::from(b) / f64::from(a)).round().max(1.0);
        match draft.resolve(Accepts::Classic, &LIMITS) {
            Ok(Transform { resize: Resize::Box { height, .. }, .. }) => {
                prop_assert!((f64::from(height.get()) - wanted).abs() < 0.5);
            }
            other => prop_assert!(other.is_err() && wanted > 8_192.0),
        }
    }
}

#[test]
fn limits_are_spelt_where_they_can_change_what_comes_of_it() {
    let spelt = |draft: Draft, accepts| draft.resolve(accepts, &LIMITS).unwrap().canonical();
    let boxed = Draft { width: px(400), height: px(300), ..Draft::default() };
    assert_eq!(spelt(boxed.clone(), Accepts::Classic), "w=400,h=300,fit=inside,f=source,q=80");
    let outside = Draft { fit: Some(Fit::Outside), ..boxed.clone() };
    let text = spelt(outside, Accepts::Classic);
    assert_eq!(text, "w=400,h=300,fit=outside,f=source,q=80,max-side=8192,max-avif=4MP");
    let webp = Draft { width: px(400), ..named(Format::Webp) };
    assert_eq!(spelt(webp, Accepts::Classic), "w=400,f=webp,q=80,max-side=8192");
    let large = Draft { width: px(4000), height: px(3000), ..Draft::default() };
    let text = spelt(Draft { format: Some(FormatWish::Auto), ..large }, Accepts::Avif);
    assert_eq!(text, "w=4000,h=3000,fit=inside,f=auto:avif,q=80,max-avif=4MP");
}
