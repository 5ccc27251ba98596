"""Accept headers as browsers and other clients really send them for pictures, and odd ones, each with
what the service makes of it: A (AVIF and WebP), W (WebP), a (AVIF alone), - (neither)."""

BROWSERS = {
    "Chrome 120, img": ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "A"),
    "Chrome 120, address bar": ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7", "A"),
    "Firefox 133, img": ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "A"),
    "Firefox 115, img": ("image/avif,image/webp,*/*", "A"),
    "Firefox 115, address bar": ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", "A"),
    "Safari 17, img": ("image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "A"),
    "Safari 16.4, img": ("image/webp,image/avif,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "A"),
    "Safari 14, img": ("image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5", "W"),
    "Chrome 80, img": ("image/webp,image/apng,image/*,*/*;q=0.8", "W"),
    "Firefox 75, img": ("image/webp,*/*", "W"),
    "Firefox 60, img": ("*/*", "-"),
    "Safari 12, img": ("image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5", "-"),
    "Internet Explorer 11": ("image/png, image/svg+xml, image/jxr, image/*; q=0.8, */*; q=0.5", "-"),
    "curl": ("*/*", "-"),
    "a crawler": ("image/*", "-"),
}

# What regular expressions may answer more modestly than the service does, never less.
ODD = {
    "": "-",
    "image/avif,*/*": "a",
    "image/avif;q=0,image/webp": "W",
    "image/avif;q=0.0,image/webp;q=0.000": "-",
    "image/avif,image/webp;q=0": "a",
    "image/avif;q=0.5,image/webp;q=0.9": "W",
    "image/avif;q=0.9,image/webp;q=0.5": "A",
    "image/avif;q=1.0,image/webp;q=0.5": "A",
    "image/avif;q=0.5,image/webp": "W",
    "IMAGE/AVIF;Q=0.5 , Image/WebP ; q = 0.9": "W",
    "Image/AVIF , IMAGE/WEBP": "A",
    "image/avif;q=0.001": "a",
    "image/jpeg,image/webp;q=0.8": "-",
    "image/png;q=0.9,image/avif;q=0.8,image/webp;q=0.9": "W",
    "image/jpeg;q=0,image/webp;q=0.1": "W",
    "image/webp;q=1.001": "-",
    "image/webp;q=-1": "-",
    "image/webp;q=": "-",
    "image/webp;q=1.000": "W",
    "image/webp;q=0,image/webp": "-",
    "image/webp,image/webp;q=0": "-",
    "image/webp;q=0.2,image/webp;q=0.9,image/jpeg;q=0.5": "W",
    'image/avif;codecs="av01, x; q=0";q=0.5': "a",
    'text/html;x="image/webp,",image/avif': "a",
    'text/html;x=",image/webp,"': "-",
    'text/html;x="unclosed,image/webp': "-",
    "image/webpx,ximage/webp,image/web,webp": "-",
    ",,;;q=1,=,image/webp": "W",
    "application/json": "-",
    "image/webp," + "text/x," * 700 + "image/avif": "W",
}

# What the edge sends on for each; what a normalised value is normalised to.
VALUES = {"A": "image/avif,image/webp", "W": "image/webp", "a": "image/avif", "-": "*/*"}
EVERY = {**{text: kind for text, kind in BROWSERS.values()}, **ODD, **{text: kind for kind, text in VALUES.items()}}

# What a client of a kind can be answered with: never more than it named.
MODEST = {"A": "AWa-", "W": "W-", "a": "a-", "-": "-"}
