//! What the parameters of other systems would be here: imgix, Cloudflare, IPX, weserv, imgproxy,
//! thumbor, AWS, Next.js. Only for the sentence of a refusal; no foreign name is ever obeyed.

use super::options;

/// Names elsewhere, and the parameter that does the same here.
const SAME: &[(&str, &[&str])] = &[
    ("w", &["width", "wid", "mw", "maxwidth", "max-w", "max-width", "max_width"]),
    ("h", &["height", "hei", "ht", "maxheight", "max-h", "max-height", "max_height"]),
    ("dpr", &["scale", "density", "zoom", "pixelratio"]),
    ("fit", &["mode", "rt", "resizing_type", "resize_mode", "t", "func", "resize.fit"]),
    ("ar", &["ratio", "aspect", "aspect-ratio", "aspect_ratio", "aspectratio"]),
    ("g", &["gravity", "pos", "position", "align", "anchor", "focus", "focal", "a", "fp"]),
    ("crop", &["extract", "region", "area", "c", "precrop"]),
    ("rot", &["rotate", "rotation", "ro", "angle"]),
    ("bg", &["background", "background-color", "background_color", "bgcolor", "fill-color"]),
    ("bg", &["fillcolor", "cbg", "rbg", "b", "flatten"]),
    ("blur", &["bl", "gaussian", "blurradius"]),
    ("sharpen", &["sharp", "sh", "usm", "unsharp"]),
    ("gray", &["grey", "grayscale", "greyscale", "mono", "monochrome", "grey-scale"]),
    ("f", &["format", "fm", "fmt", "output", "ext", "type", "toformat"]),
    ("q", &["quality", "qlt", "qual", "compression"]),
    ("lossless", &["ll"]),
    ("progressive", &["il", "interlace", "interlaced", "jpg-progressive", "pjpg"]),
    ("dl", &["download", "attachment", "att", "filename", "fn", "return_attachment"]),
    ("preset", &["p", "pr", "presets", "style", "variant", "template"]),
    ("v", &["version", "ver", "rev", "cb", "cachebuster", "_", "ts", "hash"]),
    ("exp", &["expires", "expire", "expiry", "expiration", "e", "ttl"]),
    ("s", &["sig", "sign", "signature", "hmac", "token"]),
    ("bri", &["brightness", "br", "bright"]),
    ("con", &["contrast", "co"]),
    ("sat", &["saturation", "saturate"]),
    ("gamma", &["gam"]),
    ("pixelate", &["px", "pix"]),
    ("radius", &["corner-radius", "round", "border-radius", "corners"]),
    ("orient", &["or", "autorotate", "auto_rotate", "auto-orient"]),
    ("mark", &["watermark", "wm", "overlay", "mark64"]),
    ("invert", &["inv", "negate", "negative"]),
    ("txt", &["text", "label"]),
    ("pad", &["padding", "border", "pd"]),
    ("max-bytes", &["maxbytes", "max_bytes", "mb"]),
    ("anim", &["animated", "animation"]),
    ("frame", &["page", "pages"]),
    ("meta", &["metadata", "strip", "stripmeta", "strip_metadata", "keep_copyright"]),
];

/// Names elsewhere whose answer is not one parameter.
const OTHERWISE: &[(&str, &[&str])] = &[
    ("use w= and h=", &["size", "resize", "rs", "dimensions", "dim", "wh", "thumbnail", "tr"]),
    ("use f=auto", &["auto", "autowebp", "auto_webp"]),
    ("use flip=h or flip=v", &["flop", "mirror", "flop-h"]),
    ("use g=x,y", &["fp-x", "fp-y", "fpx", "fpy", "focalpoint", "focal-point", "cx", "cy"]),
    ("use g=smart", &["smart", "face", "faces", "smartcrop", "smart_crop"]),
    ("use fit=inside", &["contain", "fit-in", "clip", "inside", "scale-down", "letterbox"]),
    ("use fit=cover, fit=pad or fit=stretch", &["fill", "force", "squeeze"]),
    ("use fit=cover", &["cover", "square"]),
    ("use fit=stretch", &["stretch"]),
    ("use fit=outside", &["outside", "min-w", "min-h", "min-width", "min-height"]),
    (
        "nothing is enlarged unless enlarge=1",
        &["we", "upscale", "el", "no_upscale", "withoutenlargement", "no-upscale"],
    ),
    ("the source is the path of the URL", &["url", "src", "image", "img", "file", "path"]),
    ("key= is read on / alone, as {W}x{H}/{key}", &["key"]),
];

/// What `name`, in lower case, would be here, as a clause; `None` if nobody is known to use it.
pub(super) fn advice(name: &str) -> Option<String> {
    let stands_in = |(_, names): &&(&str, &[&str])| names.contains(&name);
    if let Some((advice, _)) = OTHERWISE.iter().find(stands_in) {
        return Some((*advice).to_owned());
    }
    let (own, _) = SAME.iter().find(stands_in)?;
    Some(if options::find(own).is_some_and(options::OptionSpec::is_built) {
        format!("use {own}=")
    } else {
        format!("it would be {own} here, which is not supported in this version")
    })
}

/// Every foreign name known.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SAME.iter().chain(OTHERWISE).flat_map(|(_, names)| names.iter().copied())
}

/// What a word for `fit` means here.
pub(super) fn fit(word: &str) -> Option<&'static str> {
    Some(match word {
        "fill" | "contain" => {
            "it means different things elsewhere: inside fits the picture in the box, cover fills \
             the box and crops, pad fits and adds a canvas, stretch distorts"
        }
        "crop" | "facearea" | "thumb" | "lfill" | "square" => "use fit=cover",
        "clip" | "max" | "scale-down" | "limit" | "fit" | "fit-in" | "bounds" => "use fit=inside",
        "scale" | "force" | "squeeze" | "exact" => "use fit=stretch",
        "letterbox" | "fillmax" | "lpad" | "extend" => "use fit=pad",
        "min" | "mfit" => "use fit=outside",
        _ => return None,
    })
}

/// What a word for `g` means here.
pub(super) fn gravity(word: &str) -> Option<&'static str> {
    Some(match word {
        "ce" | "centre" | "middle" | "c" | "mid" => "use g=center",
        "sm" | "auto" | "face" | "faces" | "attention" | "entropy" | "edges" => "use g=smart",
        "north" | "no" | "northeast" | "noea" | "top-right" | "east" | "ea" | "southeast"
        | "soea" | "bottom-right" | "south" | "so" | "southwest" | "sowe" | "bottom-left"
        | "west" | "we" | "northwest" | "nowe" | "top-left" => "use n, ne, e, se, s, sw, w or nw",
        "fp" | "focalpoint" | "focal" => "use g=x,y",
        _ => return None,
    })
}

/// What a word for `f` means here: other systems use the letter for `fit`, or know other formats.
pub(super) fn format(word: &str) -> Option<&'static str> {
    Some(match word {
        "pjpg" | "pjpeg" | "progressive" => "use f=jpeg&progressive=1",
        "baseline-jpeg" | "mozjpeg" => "use f=jpeg",
        "png8" | "png24" | "png32" => "use f=png",
        "orig" | "original" | "same" => "use f=source",
        "info" | "meta" | "metadata" => "use f=json",
        "cover" | "crop" | "clip" | "fill" | "contain" | "inside" | "outside" | "pad"
        | "stretch" | "max" | "min" | "scale" => "f is the format here: use fit=",
        _ => return None,
    })
}
