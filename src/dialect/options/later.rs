//! The rows of names that are reserved and not built: refused, so that a URL written today never
//! changes its meaning later, and absent from the reference.

use super::{Group, OptionSpec, Reader, ValueKind};

const fn later(
    name: &'static str,
    group: Group,
    form: &'static str,
    doc: &'static str,
    example: &'static str,
) -> OptionSpec {
    OptionSpec {
        name,
        aliases: &[],
        group,
        kind: ValueKind::Form(form),
        unit: "",
        default: "none",
        doc,
        example,
        reader: Reader::Later,
    }
}

/// A percentage either way of neutral.
const SWING: &str = "a number -100 to 100";

#[rustfmt::skip]
pub(super) static LATER: &[OptionSpec] = &[
    later("trim", Group::Cut, "1 to 254, or the bare name", "Cuts a uniform border away.", "trim=10"),
    later("pad", Group::Cut, "1 to 4 lengths in CSS order", "Adds space around the result.", "pad=10,20"),
    later("radius", Group::Cut, "1 to 4 lengths, or max", "Rounds the corners.", "radius=12"),
    later("orient", Group::Turn, "auto, none or 1 to 8", "Overrides the stored orientation.", "orient=none"),
    later("pixelate", Group::Look, "a length", "Turns the picture into blocks.", "pixelate=8"),
    later("bri", Group::Look, SWING, "Brightness.", "bri=10"),
    later("con", Group::Look, SWING, "Contrast.", "con=10"),
    later("sat", Group::Look, SWING, "Saturation.", "sat=-20"),
    later("hue", Group::Look, "degrees", "Turns the hues.", "hue=90"),
    later("gamma", Group::Look, "a number above 0", "Gamma; 1 is neutral.", "gamma=1.2"),
    later("sepia", Group::Look, "0 to 100", "Brown tones.", "sepia=60"),
    later("invert", Group::Look, "1 or 0", "Negative.", "invert=1"),
    later("tint", Group::Look, "a colour", "One colour over all.", "tint=336699"),
    later("duotone", Group::Look, "two colours", "Dark and light replaced.", "duotone=000080,ffffe0"),
    later("mark", Group::Mark, "a source", "Lays a picture over the result.", "mark=logo.png"),
    later("mark-g", Group::Mark, "a gravity", "Where the mark stands.", "mark-g=se"),
    later("mark-w", Group::Mark, "a length", "Width of the mark.", "mark-w=80"),
    later("mark-alpha", Group::Mark, "0 to 100", "How opaque the mark is.", "mark-alpha=50"),
    later("mark-pad", Group::Mark, "a length", "Distance of the mark from the edge.", "mark-pad=8"),
    later("mark-tile", Group::Mark, "1 or 0", "Repeats the mark.", "mark-tile=1"),
    later("txt", Group::Mark, "text", "Writes over the result.", "txt=hello"),
    later("max-bytes", Group::Output, "bytes", "Lowers the quality until it fits.", "max-bytes=50000"),
    later("meta", Group::Output, "keep or none", "What becomes of metadata.", "meta=keep"),
    later("icc", Group::Output, "keep or srgb", "What becomes of the colour profile.", "icc=keep"),
    later("frame", Group::Output, "a frame number", "One frame of an animation.", "frame=3"),
    later("anim", Group::Output, "1 or 0", "Whether animations keep their frames.", "anim=0"),
];
