//! The plan against SEMANTICS 3–9, row by row, and the laws no input may break.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "numbers of the tests' own; windows of whole pixels are exact"
)]

use super::*;
use crate::codec::Encoding;
use crate::model::draft::{Draft, FormatWish};
use crate::model::format::{Format, SourceFormat};
use crate::model::geometry::{Fit, Flip, Gravity};
use crate::model::planes::Subsampling;
use crate::model::transform::{Accepts, Bounds, Crop, Extent, FormatAsk, Output, QualityAsk};
use crate::model::units::{ByteSize, PixelCount, Px};
use proptest::prelude::*;

fn limits() -> Limits {
    Limits {
        source_bytes: ByteSize::new(32 << 20),
        source_pixels: PixelCount::new(50_000_000),
        output_side: 8192,
        frames: 256,
        avif_pixels: PixelCount::new(16_000_000),
    }
}

fn header(width: u32, height: u32) -> Header {
    Header {
        format: SourceFormat::Web(Format::Jpeg),
        size: Size::new(width, height),
        orientation: Orientation::Upright,
        alpha: false,
        gray: false,
        frames: 1,
        progressive: false,
        whole: false,
        depth: 8,
        planes: None,
    }
}

fn wish(resize: Resize) -> Transform {
    Transform {
        crop: None,
        rotate: Decimal::ZERO,
        flip: Flip::None,
        resize,
        gray: false,
        blur: Decimal::ZERO,
        sharpen: Decimal::ZERO,
        background: None,
        output: Output {
            ask: FormatAsk::Source,
            quality: QualityAsk::default(),
            lossless: false,
            progressive: false,
        },
        bounds: Bounds { side: Px::new(8192), avif: Some(PixelCount::new(16_000_000)) },
    }
}

fn boxed(w: u32, h: u32, fit: Fit, enlarge: bool) -> Resize {
    let (width, height) = (Px::new(w).unwrap(), Px::new(h).unwrap());
    Resize::Box { width, height, fit, gravity: Gravity::CENTER, enlarge }
}

fn size_of(source: (u32, u32), resize: Resize) -> (u32, u32) {
    let plan = plan(&header(source.0, source.1), &wish(resize), &limits()).unwrap();
    (plan.size.width, plan.size.height)
}

#[test]
fn every_fit_gives_the_size_semantics_asks_for() {
    let size = |fit, enlarge| size_of((1000, 500), boxed(300, 300, fit, enlarge));
    assert_eq!(size(Fit::Inside, false), (300, 150));
    assert_eq!(size(Fit::Outside, false), (600, 300));
    assert_eq!(size(Fit::Cover, false), (300, 300));
    assert_eq!(size(Fit::Pad, false), (300, 300));
    assert_eq!(size(Fit::Stretch, false), (300, 300));
}

#[test]
fn without_enlarge_the_asked_shape_comes_at_the_largest_size_the_source_has() {
    let size = |fit, enlarge| size_of((200, 100), boxed(400, 300, fit, enlarge));
    assert_eq!(size(Fit::Inside, false), (200, 100));
    assert_eq!(size(Fit::Outside, false), (200, 100));
    // k = min(200/400, 100/300) = 1/3.
    assert_eq!(size(Fit::Cover, false), (133, 100));
    assert_eq!(size(Fit::Stretch, false), (133, 100));
    assert_eq!(size(Fit::Pad, false), (400, 300));
    assert_eq!(size(Fit::Inside, true), (400, 200));
    assert_eq!(size(Fit::Outside, true), (600, 300));
    assert_eq!(size(Fit::Cover, true), (400, 300));
    assert_eq!(size(Fit::Stretch, true), (400, 300));
}

#[test]
fn a_single_side_brings_the_other_along_rounded_half_up() {
    let width = Px::new(333).unwrap();
    assert_eq!(size_of((1000, 667), Resize::Width { width, enlarge: false }), (333, 222));
    let height = Px::new(1).unwrap();
    assert_eq!(size_of((3, 1000), Resize::Height { height, enlarge: false }), (1, 1));
    let width = Px::new(3).unwrap();
    assert_eq!(size_of((2, 1), Resize::Width { width, enlarge: true }), (3, 2));
}

#[test]
fn computed_sides_over_the_limit_shrink_uniformly() {
    assert_eq!(size_of((10_000, 5_000), Resize::Keep), (8192, 4096));
    let height = Px::new(8000).unwrap();
    let (w, h) = size_of((5000, 1000), Resize::Height { height, enlarge: true });
    assert_eq!((w, h), (8192, 1638));
}

#[test]
fn a_source_over_the_limit_is_refused_with_both_numbers() {
    let error = plan(&header(10_000, 5_001), &wish(Resize::Keep), &limits()).unwrap_err();
    assert_eq!(error, PlanError::SourceTooLarge { pixels: 50_010_000, limit: 50_000_000 });
}

#[test]
fn an_explicit_avif_over_its_budget_is_refused_and_auto_falls_to_webp() {
    let mut big = wish(Resize::Keep);
    big.output.ask = FormatAsk::Named(Format::Avif);
    let source = header(6000, 4000);
    assert!(matches!(plan(&source, &big, &limits()), Err(PlanError::OutputTooLarge { .. })));
    big.output.ask = FormatAsk::Auto(Accepts::AvifWebp);
    let planned = plan(&source, &big, &limits()).unwrap();
    assert!(matches!(planned.choice, Choice::Fixed(Encoding::Webp { .. })));
    big.output.ask = FormatAsk::Auto(Accepts::Avif);
    let planned = plan(&source, &big, &limits()).unwrap();
    assert!(matches!(planned.choice, Choice::Fixed(Encoding::Jpeg { .. })));
}

#[test]
fn auto_gives_png_only_to_what_is_transparent() {
    let mut auto = wish(Resize::Keep);
    auto.output.ask = FormatAsk::Auto(Accepts::Classic);
    let mut source = header(100, 100);
    source.format = SourceFormat::Web(Format::Png);
    source.alpha = true;
    let choice = plan(&source, &auto, &limits()).unwrap().choice;
    assert_eq!(choice.settle(false), Encoding::Png);
    assert!(matches!(choice.settle(true), Encoding::Jpeg { .. }));
}

fn only_resize(planned: &Plan) -> (WindowRect, Size) {
    match planned.steps.as_slice() {
        [Step::Resize { window: Window::Fixed(window), to }, ..] => (*window, *to),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cover_crops_where_gravity_says() {
    let mut cover = wish(boxed(100, 100, Fit::Cover, false));
    let at = |cover: &Transform| only_resize(&plan(&header(400, 200), cover, &limits()).unwrap()).0;
    // Decoded at 1/2: 200×100, the middle square starts at 50.
    assert_eq!(at(&cover), WindowRect { x: 50.0, y: 0.0, width: 100.0, height: 100.0 });
    let place = |x, y| Gravity::Slack { x: Decimal::whole(x), y: Decimal::whole(y) };
    for (gravity, x) in [
        (place(0, 0), 0.0),
        (place(1, 0), 100.0),
        (Gravity::Focus { x: Decimal::from_micros(500_000), y: Decimal::ZERO }, 50.0),
        (Gravity::Focus { x: Decimal::from_micros(100_000), y: Decimal::ZERO }, 0.0),
        (Gravity::Focus { x: Decimal::from_micros(400_000), y: Decimal::ZERO }, 30.0),
    ] {
        if let Resize::Box { gravity: g, .. } = &mut cover.resize {
            *g = gravity;
        }
        assert_eq!(at(&cover).x, x, "{gravity:?}");
    }
}

#[test]
fn the_window_of_a_turned_source_is_carried_back_to_stored_axes() {
    // Stored 200×400, shown turned clockwise as 400×200; the left end of the picture as seen is
    // the bottom of it as stored.
    let mut source = header(200, 400);
    source.orientation = Orientation::Rotate90;
    let mut cover = wish(boxed(200, 200, Fit::Cover, false));
    if let Resize::Box { gravity, .. } = &mut cover.resize {
        *gravity = Gravity::Slack { x: Decimal::ZERO, y: Decimal::ZERO };
    }
    let planned = plan(&source, &cover, &limits()).unwrap();
    let (window, to) = only_resize(&planned);
    assert_eq!(window, WindowRect { x: 0.0, y: 200.0, width: 200.0, height: 200.0 });
    assert_eq!(to, Size::new(200, 200));
    assert!(planned.steps.contains(&Step::Turn(Orientation::Rotate90)));
}

#[test]
fn the_ladder_never_goes_below_the_result_whatever_the_format() {
    for (width, denominator) in
        [(4032, 1), (2017, 1), (2016, 2), (1008, 4), (800, 4), (504, 8), (50, 8)]
    {
        let side = Px::new(width).unwrap();
        let resize = Resize::Width { width: side, enlarge: false };
        for format in
            [SourceFormat::Web(Format::Jpeg), SourceFormat::Web(Format::Avif), SourceFormat::Tiff]
        {
            let source = Header { format, ..header(4032, 3024) };
            let planned = plan(&source, &wish(resize), &limits()).unwrap();
            assert_eq!(planned.scale.denominator(), denominator, "{width} {format:?}");
        }
    }
}

#[test]
fn crops_are_clamped_and_empty_ones_refused() {
    let mut cut = wish(Resize::Keep);
    let px = Extent::Pixels;
    cut.crop = Some(Crop { x: px(90), y: px(0), width: px(50), height: px(1000) });
    assert_eq!(plan(&header(100, 100), &cut, &limits()).unwrap().size, Size::new(10, 100));
    cut.crop = Some(Crop { x: px(100), y: px(0), width: px(50), height: px(10) });
    assert!(matches!(plan(&header(100, 100), &cut, &limits()), Err(PlanError::EmptyCrop { .. })));
    let half = Extent::Fraction(Decimal::from_micros(500_000));
    cut.crop = Some(Crop { x: half, y: half, width: half, height: half });
    assert_eq!(plan(&header(101, 101), &cut, &limits()).unwrap().size, Size::new(50, 50));
}

#[test]
fn what_the_look_copies_is_reserved_too() {
    let canvas = |resize| plan(&header(100, 100), &wish(resize), &limits()).unwrap().cost.bytes;
    let large = boxed(4000, 4000, Fit::Pad, false);
    assert!(canvas(large) > 16_000_000 * 4, "the canvas itself");
    let mut asked = wish(boxed(4000, 4000, Fit::Stretch, true));
    let bytes = |asked: &Transform| plan(&header(100, 100), asked, &limits()).unwrap().cost.bytes;
    asked.blur = Decimal::whole(2);
    assert!(bytes(&asked) > 16_000_000 * 3 * 4);
    asked.sharpen = Decimal::whole(1);
    assert!(bytes(&asked) > 16_000_000 * 3 * 7);
}

#[test]
fn blur_shrinks_with_the_picture() {
    let mut soft = wish(boxed(400, 400, Fit::Cover, false));
    soft.blur = Decimal::whole(8);
    let planned = plan(&header(200, 200), &soft, &limits()).unwrap();
    assert!(planned.steps.contains(&Step::Blur { sigma: 4.0 }), "{:?}", planned.steps);
}

prop_compose! {
    fn any_resize()(
        kind in 0usize..4, w in 1u32..20_000, h in 1u32..20_000, fit in 0usize..5, enlarge: bool,
        gravity in 0usize..4, gx in 0i64..=1_000_000, gy in 0i64..=1_000_000,
    ) -> Resize {
        let (width, height) = (Px::new(w).unwrap(), Px::new(h).unwrap());
        let (x, y) = (Decimal::from_micros(gx), Decimal::from_micros(gy));
        let fit = [Fit::Inside, Fit::Cover, Fit::Pad, Fit::Stretch, Fit::Outside][fit];
        let gravity = [Gravity::CENTER, Gravity::Focus { x, y }, Gravity::Slack { x, y }, Gravity::Smart][gravity];
        match kind {
            0 => Resize::Keep,
            1 => Resize::Width { width, enlarge },
            2 => Resize::Height { height, enlarge },
            _ => Resize::Box { width, height, fit, gravity, enlarge },
        }
    }
}

prop_compose! {
    fn any_case()(
        width in 1u32..9_000, height in 1u32..5_500, orientation in 1u32..=8,
        jpeg: bool, alpha: bool, resize in any_resize(), degrees in 0i64..360_000_000,
        quarter: bool, flip in 0usize..4, crop in proptest::option::of((0i64..900_000, 0i64..900_000, 1i64..1_000_000, 1i64..1_000_000)),
        ask in 0usize..7,
    ) -> (Header, Transform) {
        let mut source = header(width, height);
        source.orientation = Orientation::from_exif(orientation);
        source.alpha = alpha && !jpeg;
        if !jpeg { source.format = SourceFormat::Web(Format::Png); }
        let mut asked = wish(resize);
        asked.rotate = Decimal::from_micros(if quarter { degrees / 90_000_000 * 90_000_000 } else { degrees });
        asked.flip = [Flip::None, Flip::Horizontal, Flip::Vertical, Flip::Both][flip];
        asked.crop = crop.map(|(x, y, w, h)| {
            let f = |v| Extent::Fraction(Decimal::from_micros(v));
            Crop { x: f(x), y: f(y), width: f(w), height: f(h) }
        });
        asked.output.ask = match ask {
            0 => FormatAsk::Source,
            1 => FormatAsk::Auto(Accepts::AvifWebp),
            n => FormatAsk::Named(Format::ALL[n - 2]),
        };
        (source, asked)
    }
}

fn inside(window: WindowRect, size: Size) -> bool {
    let hair = 1e-6;
    window.x >= -hair
        && window.y >= -hair
        && window.width > 0.0
        && window.height > 0.0
        && window.x + window.width <= f64::from(size.width) + hair
        && window.y + window.height <= f64::from(size.height) + hair
}

#[test]
fn planes_stay_planes_only_where_every_step_and_the_encoder_take_them() {
    let source = Header { planes: Some(Subsampling::Quarter), ..header(2000, 1501) };
    let width = |w| Resize::Width { width: Px::new(w).unwrap(), enlarge: false };
    let planar = |source: &Header, wish: &Transform| plan(source, wish, &limits()).unwrap().planar;
    let plain = wish(width(800));
    assert!(planar(&source, &plain));
    assert!(!planar(&header(2000, 1501), &plain));
    let named = |format, lossless| Transform {
        output: Output { ask: FormatAsk::Named(format), lossless, ..plain.output.clone() },
        ..plain.clone()
    };
    for (format, lossy) in
        [(Format::Jpeg, true), (Format::Webp, true), (Format::Avif, true), (Format::Png, false)]
    {
        assert_eq!(planar(&source, &named(format, false)), lossy, "{format}");
    }
    assert!(!planar(&source, &named(Format::Webp, true)));
    assert!(!planar(&source, &Transform { gray: true, ..plain.clone() }));
    assert!(!planar(&source, &Transform { rotate: Decimal::whole(12), ..plain.clone() }));
    assert!(!planar(&source, &wish(boxed(300, 300, Fit::Pad, false))));
    // 800 × 600: a mirror leaves pairs of columns whole; 801 × 601 has half of one at the end.
    let mirrored = |w| Transform { flip: Flip::Horizontal, ..wish(width(w)) };
    assert!(planar(&source, &mirrored(800)));
    assert!(!planar(&source, &mirrored(801)));
    // Only resampling makes 4:2:0 of other planes.
    let full = Header { planes: Some(Subsampling::Full), ..source };
    assert!(planar(&full, &plain));
    assert!(!planar(&full, &wish(Resize::Keep)));
    assert!(planar(&source, &wish(Resize::Keep)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_plan_never_exceeds_the_limits_and_never_yields_nought((source, asked) in any_case()) {
        let limits = limits();
        let Ok(planned) = plan(&source, &asked, &limits) else { return Ok(()) };
        prop_assert!(planned.size.width >= 1 && planned.size.height >= 1);
        prop_assert!(planned.size.longest() <= limits.output_side);
        prop_assert!(planned.cost.bytes > 0);
        // Walk the steps: every rectangle lies inside the picture it is taken from.
        let mut size = planned.scale.apply(source.size);
        for step in &planned.steps {
            match *step {
                Step::Turn(turn) => size = turn.apply(size),
                Step::Crop(rect) => {
                    prop_assert!(rect.x + rect.size.width <= size.width, "{:?} {}", step, size);
                    prop_assert!(rect.y + rect.size.height <= size.height);
                    size = rect.size;
                }
                Step::Rotate { to, .. } => size = to,
                Step::Resize { window, to } => {
                    match window {
                        Window::Fixed(rect) => prop_assert!(inside(rect, size), "{:?} {}", rect, size),
                        Window::Smart { within, window } => {
                            prop_assert!(inside(within, size) && inside(window, size));
                        }
                    }
                    size = to;
                }
                Step::Letterbox { canvas, x, y, .. } => {
                    prop_assert!(x + size.width <= canvas.width && y + size.height <= canvas.height);
                    size = canvas;
                }
                Step::Gray | Step::Blur { .. } | Step::Sharpen { .. } | Step::Settle | Step::Flatten(_) => {}
            }
        }
        prop_assert_eq!(size, planned.size);
    }

    #[test]
    fn a_setting_that_changes_the_result_changes_the_key(
        (source, _) in any_case(), w in proptest::option::of(1u32..4000), h in proptest::option::of(1u32..4000),
        fit in 0usize..5, enlarge: bool, auto: bool,
        sides in (4000u32..6000, 4000u32..6000), budgets in (1u64..20_000_000, 1u64..20_000_000),
    ) {
        let draft = Draft {
            width: w.and_then(Px::new),
            height: h.and_then(Px::new),
            fit: Some([Fit::Inside, Fit::Cover, Fit::Pad, Fit::Stretch, Fit::Outside][fit]),
            enlarge: Some(enlarge),
            format: Some(if auto { FormatWish::Auto } else { FormatWish::Source }),
            ..Draft::default()
        };
        let mut source = source;
        source.format = SourceFormat::Web(Format::Avif);
        let made = |side, budget| {
            let limits = Limits { output_side: side, avif_pixels: PixelCount::new(budget), ..limits() };
            let wish = draft.resolve(Accepts::AvifWebp, &limits).unwrap();
            let planned = plan(&source, &wish, &limits).unwrap();
            (wish.canonical(), planned.size, planned.choice)
        };
        let (a, b) = (made(sides.0, budgets.0), made(sides.1, budgets.1));
        if (a.1, a.2) != (b.1, b.2) {
            prop_assert_ne!(a.0, b.0);
        }
    }

    #[test]
    fn cover_fills_and_inside_fits(w in 1u32..8_000, h in 1u32..6_000, bw in 1u32..8_000, bh in 1u32..8_000) {
        prop_assert_eq!(size_of((w, h), boxed(bw, bh, Fit::Cover, true)), (bw, bh));
        let (iw, ih) = size_of((w, h), boxed(bw, bh, Fit::Inside, false));
        prop_assert!(iw <= bw.min(w) && ih <= bh.min(h));
    }
}
