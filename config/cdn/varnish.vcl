vcl 4.1;

# Varnish 6.1 or newer in front of Lenslet. vsthrottle and xkey come with the package
# varnish-modules (Debian, Ubuntu, the official image).
#
# What it does, with its numbers:
#   * keeps answers as long as their Cache-Control says;
#   * reduces Accept to four values, so that Varnish's own `Vary` handling keeps three answers, not
#     dozens, of a URL that Accept decides;
#   * serves a picture up to 1 day past its age at once while it is renewed behind it
#     (stale-while-revalidate), and up to 7 days while Lenslet is down or answers 5xx
#     (stale-if-error);
#   * waits with all others when many ask for the same missing picture; renews by If-None-Match;
#   * purges by URL, and by tag: every answer names its original in Surrogate-Key;
#   * answers 429 to an address that has more than 200 misses in 10 seconds. Hits are free.
# Size of the cache: varnishd -s malloc,2g. The admin listener (8081) is not reached from here.

import std;
import vsthrottle;
import xkey;

backend lenslet {
    .host = "lenslet";
    .port = "8080";
    .connect_timeout = 2s;
    # A little more than LENSLET_REQUEST_TIMEOUT (10s), so that its own answer is the one heard.
    .first_byte_timeout = 12s;
    .between_bytes_timeout = 5s;
    .probe = {
        .url = "/health";
        .interval = 2s;
        .timeout = 1s;
        .window = 5;
        .threshold = 3;
        .initial = 3;
    }
}

# Who may purge.
acl purgers {
    "localhost";
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ purgers) {
            return (synth(403, "not allowed to purge"));
        }
        # With tags: everything made of those originals. Without: this URL, in every format.
        if (req.http.Surrogate-Key) {
            set req.http.X-Purged = xkey.purge(req.http.Surrogate-Key);
            return (synth(200, "purged " + req.http.X-Purged));
        }
        return (purge);
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    # Lenslet's own pages. Take this away to let an object store reach /_/events.
    if (req.url ~ "^/_/") {
        return (synth(404, "no such page"));
    }

    unset req.http.Cookie;
    unset req.http.Accept-Encoding;

    # What campaigns add to a URL is no part of a picture. A signature covers every byte in front
    # of it, so signed URLs stay as they are.
    if (req.url !~ "[?&]s=") {
        set req.url = regsuball(req.url, "([?&])(?:utm_[^=&]*|fbclid|gclid|dpl)(?:=[^&]*)?(?=&|$)", "\1");
        set req.url = regsub(regsub(regsuball(req.url, "&{2,}", "&"), "\?&", "?"), "[?&]$", "");
    }

    call lenslet_accept;

    # One day past its age while all is well; on a second round after a failure, whatever there is.
    if (req.restarts == 0 && std.healthy(req.backend_hint)) {
        set req.grace = 1d;
    } else {
        set req.grace = 7d;
    }
    return (hash);
}

# Which of four values stands for an Accept header; the service answers each as it would the header.
# Only types that are named count, and only with full weight: who weights AVIF and WebP down
# gets what every browser can show. No browser does.
sub lenslet_accept {
    if (req.url ~ "^/[0-9]{1,5}x[0-9]{1,5}/" || req.url ~ "(?i)[?&]f=(?!auto(?:&|$)|&|$)") {
        # Sized URLs and those that name their format have one answer for everybody.
        set req.http.Accept = "*/*";
    } else if (!req.http.Accept || req.http.Accept ~ {"""} || req.http.Accept ~ "^.{4000}") {
        set req.http.Accept = "*/*";
    } else if (req.http.Accept ~ "(?i)^(?!.*image/(?:avif|webp)\s*;\s*q\s*=\s*0(?:\.0{0,3})?\s*(?:,|$))(?=(?:.*,)?\s*image/avif\s*(?:;\s*q=1(?:\.0{0,3})?\s*)?(?:,|$))(?=(?:.*,)?\s*image/webp\s*(?:;\s*q=(?:1(?:\.0{0,3})?|0\.[0-9]{0,3})\s*)?(?:,|$))") {
        set req.http.Accept = "image/avif,image/webp";
    } else if (req.http.Accept ~ "(?i)^(?!.*image/webp\s*;\s*q\s*=\s*0(?:\.0{0,3})?\s*(?:,|$))(?=(?:.*,)?\s*image/webp\s*(?:;\s*q=1(?:\.0{0,3})?\s*)?(?:,|$))") {
        set req.http.Accept = "image/webp";
    } else if (req.http.Accept ~ "(?i)^(?!.*image/avif\s*;\s*q\s*=\s*0(?:\.0{0,3})?\s*(?:,|$))(?=(?:.*,)?\s*image/avif\s*(?:;\s*q=1(?:\.0{0,3})?\s*)?(?:,|$))") {
        set req.http.Accept = "image/avif";
    } else {
        set req.http.Accept = "*/*";
    }
}

# Every host name shows the same pictures.
sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}

sub vcl_miss {
    if (vsthrottle.is_denied(client.identity, 200, 10s)) {
        return (synth(429, "too many requests"));
    }
}

sub vcl_backend_response {
    # An answer of 5xx must not take the place of a picture that is still there.
    if (beresp.status >= 500 && bereq.is_bgfetch) {
        return (abandon);
    }
    if (beresp.status >= 500) {
        set beresp.grace = 0s;
        return (pass(1s));
    }
    if (beresp.status == 200) {
        set beresp.grace = 7d;
        # Past that only its ETag is of use.
        set beresp.keep = 1d;
    } else {
        set beresp.grace = 10s;
    }
    set beresp.http.xkey = beresp.http.Surrogate-Key;
}

sub vcl_backend_error {
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Retry-After = "1";
}

sub vcl_deliver {
    # Lenslet failed on a picture that is more than a day past its age: once more, for what is there.
    if (resp.status >= 500 && req.restarts == 0) {
        return (restart);
    }
    unset resp.http.xkey;
    # What happened here; X-Cache is what happened in Lenslet when the entry was made.
    if (obj.hits > 0) {
        set resp.http.X-Edge-Cache = "HIT";
    } else {
        set resp.http.X-Edge-Cache = "MISS";
    }
}

sub vcl_synth {
    if (resp.status == 429) {
        set resp.http.Retry-After = "1";
    }
    set resp.http.Cache-Control = "no-store";
    set resp.http.Content-Type = "text/plain; charset=utf-8";
    set resp.body = resp.reason + {"
"};
    return (deliver);
}
