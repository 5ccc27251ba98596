"""Readers of log lines in every format: message, path, trace id and level of a line. Each raises
where a line is not of its format. Knows nothing of the service but the names of its fields."""

import json
import re


def pairs(line):
    """A logfmt line taken apart; raises where it is none."""
    found, rest = {}, line
    while rest:
        key, rest = rest.split("=", 1)
        if rest.startswith('"'):
            value, end = json.JSONDecoder().raw_decode(rest)
        else:
            end = rest.find(" ") if " " in rest else len(rest)
            value = rest[:end]
        if key in found or not re.fullmatch(r"[a-z_]+", key):
            raise ValueError(f"{key!r} in {line!r}")
        found[key], rest = value, rest[end:].lstrip(" ")
    return found


def read_json(line):
    record = json.loads(line)
    return record["msg"], record.get("path"), record.get("trace_id"), record["level"]


def read_gcp(line):
    record = json.loads(line)
    is_request = "httpRequest" in record
    where = record.get("logging.googleapis.com/trace", "")
    if is_request and set(record["httpRequest"]) != {"requestMethod", "requestUrl", "status", "responseSize", "latency"}:
        raise ValueError(line)
    level = {"INFO": "info", "WARNING": "warn", "ERROR": "error"}[record["severity"]]
    found = re.fullmatch(r"projects/shop-1/traces/([0-9a-f]{32})", where)
    return "request" if is_request else record["message"], record.get("httpRequest", {}).get("requestUrl"), found and found[1], level


def read_logfmt(line):
    record = pairs(line)
    return record["msg"], record.get("path"), record.get("trace_id"), record["level"]


def read_pretty(line):
    stamp, level, rest = line.split(None, 2)
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", stamp) or level not in ("INFO", "WARN", "ERROR"):
        raise ValueError(line)
    is_request = rest.startswith("request ")
    found = re.search(r" trace_id=([0-9a-f]{32})", rest)
    return "request" if is_request else rest.split(" ")[0], rest.split(" ")[2] if is_request else None, found and found[1], level.lower()


READERS = {"json": read_json, "gcp": read_gcp, "logfmt": read_logfmt, "pretty": read_pretty}
