// CloudFront Function, viewer request: turns the Accept header into one of four values, so that a
// cache key with Accept in it has three entries for a picture and not one for every browser.
//
//   image/avif,image/webp   takes AVIF and WebP: today's Chrome, Firefox, Safari, Edge
//   image/webp              takes WebP: browsers of about 2018 to 2022
//   */*                     everything else, and every URL that is not negotiated
//   image/avif              takes AVIF but not WebP: no browser does, but it may be asked for
//
// The service answers each value as it would the header it stands for, weights included. Neither
// the path nor the query is touched: a signature covers both. Runtime cloudfront-js-1.0 or 2.0; well
// below the limits of 10 KB and 1 ms. Goes with a cache policy that has Accept and every query
// string in its key (cloudfront-origin-group.yaml):
//
//   aws cloudfront create-function --name lenslet-accept \
//     --function-config Comment=lenslet,Runtime=cloudfront-js-2.0 \
//     --function-code fileb://config/cdn/cloudfront-function.js

function handler(event) {
  var request = event.request;
  var accept = negotiable(request) ? accepted(header(request.headers.accept)) : '*/*';
  request.headers.accept = { value: accept };
  return request;
}

// Sized URLs, and those that name their format, have one answer for everybody.
function negotiable(request) {
  if (/^\/\d{1,5}x\d{1,5}\//.test(request.uri)) return false;
  var format = request.querystring.f;
  return !format || /^auto$/i.test(format.value) || format.value === '';
}

// The lines of a header that was sent more than once belong together.
function header(field) {
  if (!field) return '';
  if (!field.multiValue) return field.value;
  return field.multiValue.map(function (line) { return line.value; }).join(',');
}

function accepted(text) {
  var weights = weighed(text);
  var classic = Math.max(weights['image/jpeg'] || 0, weights['image/png'] || 0);
  var avif = counted(weights['image/avif'], classic);
  var webp = counted(weights['image/webp'], classic);
  if (avif && webp && webp <= avif) return 'image/avif,image/webp';
  if (webp) return 'image/webp';
  return avif ? 'image/avif' : '*/*';
}

// A type counts when it is named, not refused, and JPEG or PNG are not named as better.
function counted(weight, classic) {
  return weight && weight >= classic ? weight : 0;
}

// Thousandths for every type that is named; a refusal stands, else the better of two.
function weighed(text) {
  var weights = {};
  if (text.length > 4096) text = text.slice(0, Math.max(0, text.lastIndexOf(',', 4095)));
  split(text, ',').forEach(function (item) {
    var parts = split(item, ';');
    var type = parts[0].trim().toLowerCase();
    var weight = 1000;
    for (var i = 1; i < parts.length; i++) {
      var match = /^\s*q\s*=(.*)$/i.exec(parts[i]);
      if (match) {
        weight = thousandths(match[1].trim());
        break;
      }
    }
    if (weight === null || weights[type] === 0) return;
    weights[type] = weight === 0 ? 0 : Math.max(weight, weights[type] || 0);
  });
  return weights;
}

function thousandths(text) {
  if (!/^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(text)) return null;
  return Math.round(Number(text) * 1000);
}

// Splits where the separator does not stand inside a quoted string.
function split(text, separator) {
  var parts = [''], quoted = false, escaped = false;
  for (var i = 0; i < text.length; i++) {
    var c = text.charAt(i);
    if (c === separator && !quoted) {
      parts.push('');
      escaped = false;
      continue;
    }
    parts[parts.length - 1] += c;
    if (escaped) escaped = false;
    else if (quoted && c === '\\') escaped = true;
    else if (c === '"') quoted = !quoted;
  }
  return parts;
}
