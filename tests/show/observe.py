"""What the service tells of itself: spans at a real collector, metrics that Prometheus itself
scrapes, rules that it evaluates, log lines that their readers can read; and what that costs."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

from collector import BlackHole, Collector
from harness import ROOT, SKIPPED, Show, photographs, scratch, until
from log_lines import READERS
from processes import S3, Process, Server, environment, file_url
from wire import request

KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
BEARER = "sink-token-4711"
STAGES = ["version", "lookup", "fetch", "queue", "decode", "resize", "encode", "store"]
OPEN_METRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}


def sign(target):
    digest = hmac.new(bytes.fromhex(KEY), target.encode(), hashlib.sha256).digest()
    return f"{target}{'&' if '?' in target else '?'}s={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def trace(recorded=True):
    """A caller's context: trace id, span id, header."""
    ids = os.urandom(16).hex(), os.urandom(8).hex()
    return *ids, {"traceparent": f"00-{ids[0]}-{ids[1]}-{'01' if recorded else '00'}", "tracestate": "shop=1"}


def otel(url, **more):
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{BEARER}",
        "OTEL_SERVICE_NAME": "shop-images",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=show,team=K%C3%B6ln",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        **more,
    }


def lines(server):
    """The request lines of a JSON log."""
    with server.changed:
        records = [json.loads(line) for line in server.lines if line.startswith("{")]
    return [record for record in records if record.get("msg") == "request"]


def line_of(server, answer):
    """The log line of an answer."""
    named = lambda: [line for line in lines(server) if line["request_id"] == answer["X-Request-Id"]]
    return (until(named) or [{}])[0]


def server_span(spans):
    return next((span for span in spans if span.kind == 2), None)


def spans_of(collector, trace_id, at_least=1):
    until(lambda: len(collector.of(trace_id)) >= at_least, 10)
    time.sleep(0.3)  # time for spans that should not be there
    return collector.of(trace_id)


def cold(show, collector, server):
    """A cold request: one span for each stage, below the caller's."""
    trace_id, parent, headers = trace()
    target = sign("/cat.jpg?w=320&f=webp")
    answer = server.get(target, headers={**headers, "User-Agent": "show/1"})
    show.equal("cold: status and X-Cache", (answer.status, answer.cache), (200, "rendered"))
    page = request(server.admin, "/metrics", headers=OPEN_METRICS).body.decode()
    for histogram in ("lenslet_http_request_duration_seconds", "lenslet_stage_duration_seconds"):
        held = any(line.startswith(histogram) and f'# {{trace_id="{trace_id}"}}' in line for line in page.splitlines())
        show.check(f"cold: {histogram} has it as an exemplar", held)
    spans = spans_of(collector, trace_id, 1 + len(STAGES))
    whole = server_span(spans)
    if not show.check("cold: a server span came", whole is not None, [span.name for span in spans]):
        return
    show.equal("cold: its name, parent and tracestate", (whole.name, whole.parent, whole.state), ("GET /{key}", parent, "shop=1"))
    parts = sorted((span for span in spans if span is not whole), key=lambda span: (span.start, span.end))
    show.equal("cold: a span for each stage, in order", [span.name for span in parts], STAGES)
    show.equal("cold: all of them below the server span", {span.parent for span in parts}, {whole.id})
    inside = all(whole.start <= a.start <= a.end <= b.start for a, b in zip(parts, parts[1:])) and parts[-1].end <= whole.end
    show.check("cold: one after the other, inside the whole", inside)
    told = dict(re.findall(r"(\w+);dur=([\d.]+)", answer["Server-Timing"]))
    apart = max(abs(span.milliseconds - float(told.get(span.name, -1e9))) for span in parts)
    show.check("cold: as long as Server-Timing says, to 0.02 ms", apart <= 0.02, f"{apart:.4f} ms")
    wanted = {
        "http.request.method": "GET", "http.route": "/{key}", "url.path": "/cat.jpg", "url.scheme": "http",
        "url.query": "w=320&f=webp&s=***", "http.response.status_code": 200,
        "http.response.body.size": len(answer.body), "user_agent.original": "show/1",
        "lenslet.cache": "rendered", "lenslet.source": "default:cat.jpg", "lenslet.output.format": "webp",
        "lenslet.output.width": 320, "lenslet.request_id": answer["X-Request-Id"],
    }
    show.equal("cold: attributes", {name: whole.attributes.get(name) for name in wanted}, wanted)
    resource = {"service.name": "shop-images", "deployment.environment": "show", "team": "Köln"}
    show.equal("cold: the resource", {name: whole.resource.get(name) for name in resource}, resource)
    line = line_of(server, answer)
    show.equal("cold: the log line names trace and span", (line.get("trace_id"), line.get("span_id")), (trace_id, whole.id))


def others(show, collector, server):
    trace_id, _, headers = trace()
    server.get(sign("/cat.jpg?w=320&f=webp"), headers=headers)
    spans = spans_of(collector, trace_id, 3)
    show.equal("hit: spans", sorted(span.name for span in spans), ["GET /{key}", "lookup", "version"])
    trace_id, _, headers = trace()
    server.get("/none.jpg?w=320", headers=headers)
    span = server_span(spans_of(collector, trace_id))
    found = span and (span.attributes.get("http.response.status_code"), span.attributes.get("error.type"), span.failed)
    show.equal("404: told, and no error of ours", found, (404, "SOURCE_NOT_FOUND", False))
    trace_id, _, headers = trace(recorded=False)
    answer = server.get("/cat.jpg?w=320&f=webp", headers=headers)
    line = line_of(server, answer)
    show.equal("a caller who does not record: no spans", spans_of(collector, trace_id, 99 if answer.status == 200 else 0)[:1], [])
    show.equal("a caller who does not record: the log line names the trace", line.get("trace_id"), trace_id)
    before = len(collector.spans)
    request(server.address, "/health")
    time.sleep(0.4)
    show.equal("a health check leaves no span", len(collector.spans) - before, 0)
    server.get("/cat.jpg?w=320&f=webp")
    show.check("without a context a trace begins here", until(lambda: any(not s.parent for s in collector.spans[before:])))


def joined(show, collector, server):
    """Many at once: one does the work, the others wait and say for whom."""
    traces = [trace() for _ in range(8)]
    target = "/cat.jpg?w=900&f=avif"
    askers = [threading.Thread(target=server.get, args=(target,), kwargs={"headers": headers}) for _, _, headers in traces]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    found = {trace_id: spans_of(collector, trace_id) for trace_id, _, _ in traces}
    leaders = [spans for spans in found.values() if any(span.name == "decode" for span in spans)]
    if not show.equal("joined: requests with a decode", len(leaders), 1):
        return
    lead = server_span(leaders[0])
    waited = [server_span(spans) for spans in found.values() if any(span.name == "join" for span in spans)]
    show.check("joined: others waited", len(waited) >= 1, f"{len(waited)} of 7")
    show.equal("joined: and link to the one that worked", {link for span in waited for link in span.links}, {(lead.trace, lead.id)})


def traces(show, folder, store):
    settings = store.settings("originals", "variants")
    with Collector() as collector, Server(otel(collector.url), **settings, KEYS=KEY, WRITE_BACK="sync") as server:
        cold(show, collector, server)
        others(show, collector, server)
        joined(show, collector, server)
        show.equal("the collector was called as the protocol says",
                   {(h["path"], h["content-type"], h["authorization"]) for h in collector.headers},
                   {("/v1/traces", "application/x-protobuf", f"Bearer {BEARER}")})
        sent, logged = b"".join(collector.bodies), "\n".join(server.lines)
        secrets = [sign("/cat.jpg?w=320&f=webp").rsplit("=", 1)[1], BEARER, KEY]
        show.equal("secrets in spans", [s for s in secrets if s.encode() in sent], [])
        show.equal("secrets in the log", [s for s in secrets if s in logged], [])
    with Collector() as collector, Server(otel(collector.url, OTEL_BSP_SCHEDULE_DELAY="60000", OTEL_EXPORTER_OTLP_COMPRESSION="gzip"), **settings, KEYS=KEY) as server:
        trace_id, _, headers = trace()
        server.get("/cat.jpg?w=320&f=webp", headers=headers)
        show.equal("spans wait for their batch", len(collector.of(trace_id)), 0)
        began = time.monotonic()
        show.equal("stopped in order", server.stop(), 0)
        show.check("at the end they are sent, compressed", collector.of(trace_id), f"{len(collector.of(trace_id))} spans, {time.monotonic() - began:.2f} s")
        show.equal("and were compressed", {h.get("content-encoding") for h in collector.headers}, {"gzip"})


def processor_time(server):
    """Seconds on a processor by the scheduler's own count, which is finer than that of /proc/stat."""
    tasks = Path(f"/proc/{server.child.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def hits(server, count):
    """Answers from memory over one connection: (requests per CPU second, slowest ms, bad)."""
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    slowest, bad, before = 0.0, 0, processor_time(server)
    for _ in range(count):
        began = time.perf_counter()
        connection.request("GET", "/cat.jpg?w=64&f=webp")
        answer = connection.getresponse()
        answer.read()
        slowest = max(slowest, time.perf_counter() - began)
        bad += answer.status != 200
    spent = processor_time(server) - before
    connection.close()
    return count / max(spent, 0.001), slowest * 1e3, bad


def dead_collectors(show, originals):
    settings = {"ORIGIN": file_url(originals)}
    with BlackHole() as hole:
        for name, url in (("silent", hole.url), ("dead", "http://127.0.0.1:9")):
            with Server(otel(url, OTEL_BSP_MAX_QUEUE_SIZE="1000", OTEL_BSP_EXPORT_TIMEOUT="800"), **settings) as server:
                hits(server, 50)
                _, slowest, bad = hits(server, 3000)
                show.equal(f"a {name} collector: failed requests of 3000", bad, 0)
                show.check(f"a {name} collector: the slowest of them below 250 ms", slowest < 250, f"{slowest:.1f} ms")
                lost = server.metric("lenslet_trace_spans_total", outcome="dropped")
                show.check(f"a {name} collector: spans dropped and counted", lost > 5000, int(lost))
                waiting = server.metric("lenslet_trace_queue_depth")
                show.check(f"a {name} collector: the queue keeps its bound", waiting <= 1000, int(waiting))
                # Meanwhile several batches have been given up.
                until(lambda: server.metric("lenslet_trace_spans_total", outcome="failed") > 512, 15)
                warnings = [line for line in server.lines if "spans are lost" in line]
                show.equal(f"a {name} collector: warnings in the first minute", len(warnings), 1)
                began = time.monotonic()
                status = server.stop()
                took = time.monotonic() - began
                show.check(f"a {name} collector: stopped within 5 s and a bit", status == 0 and took < 7, f"{status}, {took:.1f} s")


def cost(show, originals):
    """Requests per CPU second from memory: without traces, with none recorded, with all recorded."""
    settings, count, rounds = {"ORIGIN": file_url(originals)}, 2000, 9
    with Collector() as collector:
        url = collector.url
        kinds = {"off": None, "none recorded": otel(url, OTEL_TRACES_SAMPLER="always_off"), "all recorded": otel(url, OTEL_BSP_MAX_QUEUE_SIZE="100000")}
        servers = {name: Server(others, **settings) for name, others in kinds.items()}
        try:
            found = {name: [] for name in servers}
            for server in servers.values():
                hits(server, 200)
            for _ in range(rounds):
                for name, server in servers.items():
                    found[name].append(hits(server, count)[0])
        finally:
            for server in servers.values():
                server.stop()
    for name, rates in found.items():
        rate = statistics.median(rates)
        show.note(f"hits per CPU second, traces {name}: {rate:,.0f} ({1e6 / rate:.1f} µs each)")
    # Each round against its own: what else the machine does changes from round to round.
    share = {name: statistics.median(rate / off for rate, off in zip(found[name], found["off"])) for name in found}
    show.check("recording nothing leaves four fifths of the rate, at least", share["none recorded"] > 0.8, f"{share['none recorded']:.2f}")
    show.check("recording everything, sending included, leaves a third, at least", share["all recorded"] > 1 / 3, f"{share['all recorded']:.2f}")


class AnyFormat(Server):
    """A server whose first lines are read whatever they look like."""

    @staticmethod
    def _listening(line):
        told = {name: re.search(rf'\b{name}"?[=:]"?([\d.]+:\d+)', line) for name in ("address", "admin")}
        return {name: found[1] for name, found in told.items()} if "listening" in line and all(told.values()) else None


def formats(show, originals):
    trace_id, _, headers = trace()
    signed = sign("/cat.jpg?w=64")
    forged = urllib.parse.quote('w\n{"level":"error"}\r\x1b[31m\x9b"= level=error msg="forged', safe="")
    targets = [signed, f"/cat.jpg?{forged}=1", f"/cat.jpg?w=64&token={BEARER}", f"/cat.jpg?w=64&S={BEARER}", "/cat.jpg?w=64"]
    for name, read in READERS.items():
        with AnyFormat({"GOOGLE_CLOUD_PROJECT": "shop-1"}, ORIGIN=file_url(originals), KEYS=KEY, LOG_FORMAT=name) as server:
            for target in targets:
                server.get(target, headers={**headers, "X-Request-Id": "a\tb level=fake"})
            until(lambda: sum("64" in line for line in server.lines) >= 4)
            server.stop()
            held, broken = [], []
            for line in server.lines:
                try:
                    held.append(read(line))
                except (ValueError, KeyError, TypeError) as error:
                    broken.append(f"{error}: {line}")
            show.equal(f"{name}: lines its reader cannot read", broken, [])
            requests = [record for record in held if record[0] == "request"]
            show.equal(f"{name}: one line a request", len(requests), len(targets))
            show.equal(f"{name}: their levels", [record[3] for record in requests], ["info", "warn", "warn", "warn", "info"])
            show.equal(f"{name}: the trace in each", {record[2] for record in requests}, {trace_id})
            text = "\n".join(server.lines)
            control = [c for c in text.replace("\n", "") if ord(c) < 32 or 127 <= ord(c) < 160]
            show.equal(f"{name}: control characters", control, [])
            secrets = [signed.rsplit("=", 1)[1], BEARER]
            show.equal(f"{name}: secrets", [secret for secret in secrets if secret in text], [])


def promtool(*arguments, given=None):
    done = subprocess.run(["promtool", *map(str, arguments)], input=given, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip()


def expressions():
    """Every query of the dashboard, its variables filled in."""
    board = json.loads((ROOT / "config/grafana-dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            text = target["expr"].replace("$__rate_interval", "1m")
            yield panel["title"], text.replace("$job", ".*").replace("$instance", ".*")


def ask(address, path, **parameters):
    answer = request(address, f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
    return json.loads(answer.body)


def prometheus(show, folder, originals):
    """The real one: it scrapes, evaluates the alerts and answers the dashboard's queries."""
    rules = ROOT / "config/alerts.yaml"
    for name, arguments in {
        "check rules": ("check", "rules", rules),
        "test rules": ("test", "rules", ROOT / "config/alerts.test.yaml"),
    }.items():
        status, said = promtool(*arguments)
        show.check(f"promtool {name}", status == 0, said.splitlines()[-1] if said else "")
    settings = {"ORIGIN": file_url(originals), "VARIANTS": file_url(folder / "kept"), "EVENTS": "admin", "EVENTS_TOKEN": BEARER * 2}
    with Collector() as collector, Server(otel(collector.url), **settings) as server:
        server.get("/cat.jpg?w=100&f=webp")
        # Refused for want of the token; reasons have a series from their first time on.
        request(server.admin, "/events", method="POST", headers={"Content-Length": "0"})
        status, said = promtool("check", "metrics", given=request(server.admin, "/metrics").body.decode())
        show.check("promtool check metrics, of a scrape", status == 0 and not said, said[:400] or "clean")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        config = folder / "prometheus.json"  # JSON is YAML
        scrape = {"job_name": "lenslet", "scrape_interval": "1s", "scrape_timeout": "1s", "static_configs": [{"targets": ["%s:%d" % server.admin]}]}
        config.write_text(json.dumps({"global": {"evaluation_interval": "1s"}, "rule_files": [str(rules)], "scrape_configs": [scrape]}))
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage", "--log.level=warn"]
        address = ("127.0.0.1", port)
        with Process(command, environment()) as scraper:
            def scraped():
                try:
                    return ask(address, "query", query="count_over_time(lenslet_build_info[1m]) >= 4")["data"]["result"]
                except (OSError, ValueError):
                    return None
            deadline = time.monotonic() + 60
            while scraper.alive and not scraped() and time.monotonic() < deadline:
                server.get("/cat.jpg?w=100&f=webp")
                server.get(f"/cat.jpg?w={int(time.time() * 5) % 800 + 20}")
                server.get("/none.jpg?w=9")
                time.sleep(0.2)
            show.check("Prometheus scrapes it", scraped(), "\n".join(scraper.lines[-5:]))
            targets = ask(address, "targets")["data"]["activeTargets"]
            show.equal("and finds nothing wrong with it", [(t["health"], t["lastError"]) for t in targets], [("up", "")])
            now = time.time()
            found = ask(address, "query_exemplars", query="lenslet_http_request_duration_seconds_bucket", start=now - 300, end=now + 5)["data"]
            ids = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
            known = {span.trace for span in collector.spans}
            show.check("it keeps exemplars, each of a trace the collector has", ids and ids <= known, f"{len(ids)} of {len(known)} traces")
            answers = [(title, text, ask(address, "query", query=text)) for title, text in expressions()]
            wrong = [f"{title}: {answer.get('error')}" for title, _, answer in answers if answer["status"] != "success"]
            show.equal(f"it understands the dashboard's {len(answers)} queries", wrong, [])
            empty = sorted({title for title, _, answer in answers if answer["status"] == "success" and not answer["data"]["result"]})
            show.equal("none of them is empty", empty, [])
            until(lambda: all(rule["health"] == "ok" for group in ask(address, "rules")["data"]["groups"] for rule in group["rules"]), 15)
            groups = ask(address, "rules")["data"]["groups"]
            sick = [rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "ok"]
            show.equal(f"it evaluates the {sum(len(group['rules']) for group in groups)} rules", sick, [])
            firing = [alert["labels"]["alertname"] for alert in ask(address, "alerts")["data"]["alerts"] if alert["state"] == "firing"]
            show.equal("and none of them fires", firing, [])


if __name__ == "__main__":
    show = Show("observe: traces, metrics, alerts and log lines as their readers expect them")
    for program in ("promtool", "prometheus"):
        if not shutil.which(program):
            print(f"{'!' * 78}\nSKIPPED: {show.title}: no {program} here; .ci/setup servers brings it\n{'!' * 78}")
            sys.exit(1 if os.environ.get("CI") else SKIPPED)
    folder = scratch("observe")
    originals = folder / "originals"
    originals.mkdir()
    photograph = photographs(folder)[0]
    shutil.copyfile(photograph, originals / "cat.jpg")
    with S3(folder / "s3", "originals", "variants") as store:
        shutil.copyfile(photograph, store.folder / "originals" / "cat.jpg")
        traces(show, folder, store)
    formats(show, originals)
    prometheus(show, folder, originals)
    dead_collectors(show, originals)
    cost(show, originals)
    show.end()
