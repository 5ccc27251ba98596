// Cloudflare Worker in front of Lenslet, for every plan: Cloudflare itself takes no notice of
// `Vary: Accept` but for a list of file extensions on paid plans, and would serve the first
// browser's AVIF to everyone. Here the class of the Accept header is part of the cache key.
//
//   * four values stand for an Accept header (see cloudfront-function.js), three of them common;
//   * answers are kept in the data centre's cache as long as their Cache-Control says;
//   * the URL that Lenslet gets is the one that came: a signature covers path and query.
//
// The variable ORIGIN of the Worker is Lenslet's public address, such as https://img-origin.example.
// The Worker's cache has neither stale-while-revalidate nor tags: give LENSLET_CACHE_CONTROL an
// s-maxage of the time a changed original may take to show, or a new `v` to changed originals.
// Limits per address belong into a rate limiting rule (cloudflare.md), which runs before the Worker.

export default {
  async fetch(request, env, context) {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return new Response('only GET and HEAD\n', { status: 405, headers: { Allow: 'GET, HEAD' } });
    }
    const url = new URL(request.url);
    // Lenslet's own pages. Take this away to let an object store reach /_/events.
    if (url.pathname.startsWith('/_/')) return new Response('no such page\n', { status: 404 });
    const accept = negotiable(url) ? accepted(request.headers.get('Accept') || '') : '*/*';

    const key = new URL(url);
    key.searchParams.append('lenslet-accept', accept);
    const cached = await caches.default.match(key.toString());
    if (cached) return answer(cached, request, 'HIT');

    const target = env.ORIGIN.replace(/\/$/, '') + url.pathname + url.search;
    const headers = { Accept: accept };
    const fetched = await fetch(target, { headers, redirect: 'manual', signal: AbortSignal.timeout(12000) });
    // Read to its end first: what breaks off is neither kept nor passed on as a picture.
    const [body, status] = [await fetched.arrayBuffer(), fetched.status];
    if (status === 200) {
      const kept = new Response(body, { status, headers: fetched.headers });
      // The class is in the key already; the cache has no use for Vary.
      kept.headers.delete('Vary');
      context.waitUntil(caches.default.put(key.toString(), kept));
    }
    return answer(new Response(body, { status, headers: fetched.headers }), request, 'MISS');
  },
};

// The answer for this client: Vary again, and 304 for what it has already.
function answer(found, request, outcome) {
  const headers = new Headers(found.headers);
  headers.set('X-Edge-Cache', outcome);
  if (negotiable(new URL(request.url))) headers.set('Vary', 'Accept');
  const etag = headers.get('ETag');
  const known = (request.headers.get('If-None-Match') || '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  if (found.status === 200 && etag && (known.includes(etag) || known.includes('*'))) {
    for (const name of ['Content-Length', 'Content-Type', 'Content-Disposition']) headers.delete(name);
    return new Response(null, { status: 304, headers });
  }
  return new Response(request.method === 'HEAD' ? null : found.body, { status: found.status, headers });
}

// Sized URLs, and those that name their format, have one answer for everybody.
export function negotiable(url) {
  if (/^\/\d{1,5}x\d{1,5}\//.test(url.pathname)) return false;
  const format = url.searchParams.get('f');
  return !format || format.toLowerCase() === 'auto';
}

// Which value stands for an Accept header; the service answers it as it would the header.
export function accepted(text) {
  const weights = weighed(text);
  const classic = Math.max(weights.get('image/jpeg') || 0, weights.get('image/png') || 0);
  // A type counts when it is named, not refused, and JPEG or PNG are not named as better.
  const counted = (type) => ((weights.get(type) || 0) >= classic ? weights.get(type) || 0 : 0);
  const [avif, webp] = [counted('image/avif'), counted('image/webp')];
  if (avif && webp && webp <= avif) return 'image/avif,image/webp';
  if (webp) return 'image/webp';
  return avif ? 'image/avif' : '*/*';
}

// Thousandths for every type that is named; a refusal stands, else the better of two.
function weighed(text) {
  const weights = new Map();
  if (text.length > 4096) text = text.slice(0, Math.max(0, text.lastIndexOf(',', 4095)));
  for (const item of split(text, ',')) {
    const [type, ...parameters] = split(item, ';').map((part) => part.trim());
    const named = parameters.map((part) => /^q\s*=\s*(.*)$/i.exec(part)).find(Boolean);
    const weight = named ? thousandths(named[1]) : 1000;
    const before = weights.get(type.toLowerCase());
    if (weight === null || before === 0) continue;
    weights.set(type.toLowerCase(), weight === 0 ? 0 : Math.max(weight, before || 0));
  }
  return weights;
}

function thousandths(text) {
  return /^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(text) ? Math.round(Number(text) * 1000) : null;
}

// Splits where the separator does not stand inside a quoted string.
function split(text, separator) {
  const parts = [''];
  let [quoted, escaped] = [false, false];
  for (const c of text) {
    if (c === separator && !quoted) {
      parts.push('');
      continue;
    }
    parts[parts.length - 1] += c;
    if (escaped) escaped = false;
    else if (quoted && c === '\\') escaped = true;
    else if (c === '"') quoted = !quoted;
  }
  return parts;
}
