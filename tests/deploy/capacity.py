"""`make capacity`: writes the tables between the markers of k8s/CAPACITY.md, and the plots beside it,
from k8s/capacity/measured.json, plan.toml and the simulation. The prose around them is nobody's but
the author's. `make check-deploy` asks `stale()` whether what is committed is what this would write."""

import functools
import sys

import runs
import svg
from plan import FOLDER, Plan
from svg import Axis

DOCUMENT = FOLDER.parent / "CAPACITY.md"


def table(head, rows):
    """Markdown; numbers stand to the right."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def count(value):
    """1,234 or 12.3 million."""
    for size, word in ((1e9, " billion"), (1e6, " million")):
        if value >= size:
            return f"{value / size:.4g}{word}"
    return f"{value:,.0f}"


def dollars(value):
    return f"${value:,.2f}" if value < 100 else f"${value:,.0f}"


def measured(plan):
    m = plan.measured
    rows = []
    for width in (400, 800, 1600):
        for form in ("avif", "webp", "jpeg"):
            found = [row for row in m["miss"] if (row["w"], row["f"]) == (width, form)]
            costs = [row["cpu_ms"] for row in found]
            rows.append(
                [f"render `w={width}&f={form}`", f"{sum(costs) / len(costs):.1f}", f"{min(costs):.1f} – {max(costs):.1f}", f"{sum(row['bytes'] for row in found) / len(found) / 1000:.0f}"]
            )
    rows.append(["**render, over the mix**", f"**{plan.miss_ms:.1f}**", "", f"**{plan.variant_bytes / 1000:.0f}**"])
    for name, key in (("from the variant store", "store_hit"), ("from memory", "memory_hit"), ("`304`", "not_modified")):
        rows.append([name, f"{m[key]['cpu_ms']:.3f}", "", f"{m[key]['bytes'] / 1000:.0f}"])
    text = table(["request", "CPU, ms", "by original", "kB"], rows)
    sizes = ", ".join(f"{o['megapixels']:g} MP ({o['bytes'] / 1e6:.1f} MB)" for o in m["originals"].values())
    shares = m["shares"]
    mib = {name: value >> 20 for name, value in shares.items()}
    pod = [
        f"Measured {m['date']}, {m['version']}, on {m['machine']['cpus']} CPUs of {m['machine']['cpu']}; originals of {sizes}.",
        f"One CPU second is {1000 / plan.miss_ms:.0f} renders, {1000 / m['store_hit']['cpu_ms']:,.0f} answers from the store, or {1000 / m['memory_hit']['cpu_ms']:,.0f} from memory.",
        f"Start to ready: {m['start_to_ready_ms']} ms. Memory: {m['idle_mib']:.0f} MiB idle, {m['peak_mib']:.0f} MiB at most during the measurement, two renders at a time.",
        f"Of {mib['memory_bytes']} MiB a pod gives {mib['memory_cache_bytes']} to finished variants, {mib['source_bytes']} to originals under way and {mib['decode_bytes']} to renders.",
    ]
    image = m.get("image")
    if image:
        pod.append(
            f"Image: {image['mb']:.0f} MB unpacked, of which {image['layers_mb']:.0f} MB are ours, {image['packed_mb']:.0f} MB packed, on the stand-in for the base image that `tests/deploy/base-images` makes (the real one is some MB larger). From `docker start` to ready: {image['start_to_ready_ms']} ms, nearly all of it Docker's."
        )
    return text + "\n\n" + "\n".join(f"* {line}" for line in pod)


def traffic(plan):
    rows = []
    for views in plan.traffic["page_views"]:
        work = plan.work(views)
        cold = plan.rate(views) * plan.miss_ms / 1000
        rows.append([count(views), count(plan.requests(views)), f"{work.rate:,.0f}", f"{work.cpu:.2f}", plan.pods(work.cpu), plan.pods(10 * work.cpu), f"{cold:,.1f}", plan.pods(cold)])
    head = ["page views a month", "requests at the pods", "busiest hour, 1/s", "CPUs", "pods", "pods at 10×", "CPUs, nothing stored", "pods"]
    return table(head, rows)


def stores(plan):
    rows = []
    for views in plan.traffic["page_views"]:
        gets, puts = plan.store_requests(views)
        rows.append([count(views), count(gets), count(puts), dollars(plan.store_cost(views)), f"{plan.requests(views) * plan.variant_bytes / 1e9:,.0f}"])
    catalogue = plan.plan["catalogue"]
    stored = f"\n\nVariants kept: {count(catalogue['originals'])} originals × {catalogue['variants']} × {plan.variant_bytes / 1000:.0f} kB = {plan.storage_gb():,.0f} GB, {dollars(plan.storage_gb() * plan.prices['stored_gb'])} a month."
    return table(["page views a month", "GET, HEAD", "PUT", "cost", "GB to the CDN"], rows) + stored


def break_even(plan):
    rows = []
    for requests in (1e6, 1e7, 5e7, 1e8, 2e8, 5e8, 1e9, 1e10):
        costs = [plan.lambda_cost(requests), plan.run_cost(requests), plan.pods_cost(requests, False), plan.pods_cost(requests)]
        rows.append([count(requests), f"{plan.mean_pods(requests):.1f}", *map(dollars, costs)])
    text = table(["requests a month, after the CDN", "pods", "Lambda", "Cloud Run", "pods", "pods and a cluster of their own"], rows)
    told = []
    for name, cost in (("Lambda", plan.lambda_cost), ("Cloud Run", plan.run_cost)):
        own, shared = plan.break_even(cost, True), plan.break_even(cost, False)
        told.append(f"* Against {name} pods are cheaper from {count(float(f'{shared:.2g}'))} requests a month, with a cluster of their own from {count(float(f'{own:.2g}'))}.")
    return text + "\n\n" + "\n".join(told)


def break_even_plot(plan):
    points = [10 ** (6 + step / 20) for step in range(0, 81)]
    series = [
        ("Lambda", [(n, plan.lambda_cost(n)) for n in points], False),
        ("Cloud Run", [(n, plan.run_cost(n)) for n in points], False),
        ("pods", [(n, plan.pods_cost(n, False)) for n in points], False),
        ("pods, own cluster", [(n, plan.pods_cost(n)) for n in points], True),
    ]
    x = Axis(1e6, 1e10, "requests a month that reach Lenslet", True, count)
    y = Axis(1, 1e4, "$ a month", True, lambda value: f"{value:,.0f}")
    return svg.document([svg.panel("Compute, by how it is billed", x, y, series)], svg.HEIGHT, "Cost of compute over requests a month: per request, or by the pod")


def scenarios(plan):
    rows = []
    for name, results in runs.scenarios(plan).items():
        rows.append([name, *runs.told(results)])
    return table(["", *runs.HEAD], rows)


def sweep(plan):
    blocks = []
    for title, lines in runs.sweeps(plan).items():
        blocks.append(table([title, *runs.HEAD], [[name, *runs.told(results)] for name, results in lines.items()]))
    return "\n\n".join(blocks)


def manifest(plan):
    rows = [[f"`{name}`", value] for name, value in plan.plan["autoscaler"].items()]
    rows += [[f"pod's request: {name}", value] for name, value in plan.plan["pod"].items()]
    return table(["number", "value"], rows)


def spike_plot(plan):
    """Requests and pods over time, of the first seed, for CPU alone and with the queue's metric."""
    panels = []
    results = runs.spike_runs(plan)
    most = max(row[2] for result in results.values() for row in result.rows) + 1
    for number, (name, result) in enumerate(results.items()):
        lasts = plan.plan["simulation"]["spike_seconds"]
        rows = [row for row in result.rows if row[0] <= 1200]
        renders = runs.averaged(rows)
        top = max(served + shed for _, served, shed in renders) * 1.1
        x = Axis(0, 1200, "seconds", False)
        y = Axis(0, top, "requests a second", False, lambda value: f"{value:,.0f}")
        lines = [("served", [(t, served) for t, served, _ in renders], False), ("shed", [(t, shed) for t, _, shed in renders], False)]
        height = 230
        panels.append(svg.panel(name, x, y, lines, [(120, "begins"), (120 + lasts, "ends")], height, 2 * number * height - 30 * number))
        y = Axis(0, most, "pods", False)
        lines = [
            ("ready", svg.steps([(row[0], row[1]) for row in rows]), False),
            ("asked for", svg.steps([(row[0], row[2]) for row in rows]), True),
        ]
        panels.append(svg.panel("", x, y, lines, (), height - 30, (2 * number + 1) * height - 30 * number))
    return svg.document(panels, 4 * 230 - 60, "Served and shed requests and pods over time, in the two settings")


SECTIONS = {"measured": measured, "traffic": traffic, "stores": stores, "break-even": break_even, "scenarios": scenarios, "sweep": sweep, "manifest": manifest}
PLOTS = {"break-even.svg": break_even_plot, "spike.svg": spike_plot}


@functools.cache
def drawn():
    """Everything this would write: the document, and the plots by name."""
    plan = Plan()
    text = DOCUMENT.read_text()
    for name, section in SECTIONS.items():
        start, end = f"<!-- {name}:start -->\n", f"<!-- {name}:end -->"
        if text.count(start) != 1 or text.count(end) != 1:
            sys.exit(f"{DOCUMENT.name} does not have the markers of {name}, once")
        before, _, rest = text.partition(start)
        text = before + start + section(plan) + "\n" + end + rest.partition(end)[2]
    return {DOCUMENT: text, **{FOLDER / name: plot(plan) for name, plot in PLOTS.items()}}


def stale():
    """What is committed and is not what this would write."""
    for path, text in drawn().items():
        if not path.exists() or path.read_text() != text:
            yield f"{path.relative_to(FOLDER.parents[1])} is not what measured.json and plan.toml say: `make capacity`"


def chosen():
    """The autoscaler's numbers, as the plan has them."""
    return Plan().plan["autoscaler"]


def numbers(least, most, target, behaviour):
    """The same of a manifest."""
    found = {"minReplicas": least, "maxReplicas": most, "averageUtilization": target}
    for direction, rules in behaviour.items():
        found[f"{direction}_stabilizationWindowSeconds"] = rules["stabilizationWindowSeconds"]
        for policy in rules["policies"]:
            found[f"{direction}_{policy['type']}"] = f"{policy['value']} in {policy['periodSeconds']} s"
    return found


def pod():
    """What the plan gives a pod."""
    return Plan().plan["pod"]


if __name__ == "__main__":
    for path, text in drawn().items():
        path.write_text(text)
        print(f"{path.relative_to(FOLDER.parents[1])}: written")
