# Fastly in front of Lenslet: custom VCL of a service with one backend, Lenslet's public listener.
#
# What it does, with its numbers:
#   * reduces Accept to four values before the lookup, so that `Vary: Accept` makes three entries,
#     not dozens, of a URL that Accept decides;
#   * Fastly reads max-age, stale-while-revalidate and stale-if-error from Lenslet's Cache-Control;
#     here stale pictures also stand in for 5xx answers, for 7 days;
#   * Surrogate-Key comes from Lenslet: purge the key `src-…` of an original, or `lenslet`;
#   * answers 429 for a minute to an address that asks more than 50 times a second over 10 seconds.
# Set the backend's first byte timeout to 12 s, a little more than LENSLET_REQUEST_TIMEOUT (10 s),
# switch shielding on (one cache asks Lenslet, not every point of presence) and request collapsing
# with it. The admin listener (8081) is no backend and is not reached from here.

penaltybox lenslet_penalty {}
ratecounter lenslet_requests {}

sub vcl_recv {
#FASTLY recv
  if (req.method != "GET" && req.method != "HEAD" && req.method != "FASTLYPURGE") {
    return(pass);
  }
  # Lenslet's own pages. Take this away to let an object store reach /_/events.
  if (req.url ~ "^/_/") {
    error 404 "no such page";
  }
  # Only where the client comes in, not again at the shield.
  if (fastly.ff.visits_this_service == 0 && ratelimit.check_rate(req.http.Fastly-Client-IP, lenslet_requests, 1, 10, 50, lenslet_penalty, 1m)) {
    error 429 "too many requests";
  }
  unset req.http.Cookie;
  unset req.http.Accept-Encoding;

  # Which of four values stands for an Accept header; the service answers each as it would the header.
  # Only types that are named count, and only with full weight: who weights AVIF and WebP down
  # gets what every browser can show. No browser does.
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
  return(lookup);
}

# Every host name shows the same pictures.
sub vcl_hash {
#FASTLY hash
  set req.hash += req.url;
  return(hash);
}

sub vcl_fetch {
#FASTLY fetch
  # A stale picture is better than an error.
  if (beresp.status >= 500 && beresp.status < 600) {
    if (stale.exists) {
      return(deliver_stale);
    }
    return(pass);
  }
  # Errors are kept for their few seconds and not beyond.
  if (beresp.status == 200) {
    set beresp.stale_if_error = 7d;
  }
  return(deliver);
}

sub vcl_error {
#FASTLY error
  # The backend was not reached at all.
  if (obj.status >= 500 && obj.status < 600 && stale.exists) {
    return(deliver_stale);
  }
  if (obj.status == 429 || obj.status == 503) {
    set obj.http.Retry-After = "1";
  }
  set obj.http.Cache-Control = "no-store";
  return(deliver);
}

sub vcl_deliver {
#FASTLY deliver
  # The tags are for purging, not for the world; the shield still needs them.
  if (fastly.ff.visits_this_service == 0) {
    unset resp.http.Surrogate-Key;
    unset resp.http.Cache-Tag;
  }
  return(deliver);
}
