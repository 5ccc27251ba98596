"""The runs of the simulation that k8s/CAPACITY.md tells of: which settings, which spikes, over which
seeds, and what is told of each. Judges nothing."""

import math
import statistics
from dataclasses import replace

from hpa_sim import Spike, simulate

HEAD = ["shed, of all", "of renders", "shed until, s", "pods at most", "pod-minutes"]
# As in the component hpa-custom-metric.
QUEUE = {"queue_target": 0.7, "queue_cap": 1.5}


def spikes(plan):
    """(ten times as much of everything, as much as ever but nothing is stored)."""
    s = plan.plan["simulation"]
    hot = Spike(factor=float(s["spike_factor"]), end=120.0 + s["spike_seconds"])
    return hot, replace(hot, factor=1.0, cold=True)


def over_seeds(plan, work, scaler, spike, cluster=None):
    seeds = range(1, plan.plan["simulation"]["seeds"] + 1)
    return [(simulate(work, scaler, cluster or plan.cluster(), spike, seed), work, spike) for seed in seeds]


def told(results):
    """The columns of HEAD, means over the seeds."""
    def mean(what):
        return statistics.mean(what(*one) for one in results)

    share = mean(lambda result, *_: result.shed_share)
    renders = mean(lambda result, work, spike: result.shed_share / (1.0 if spike.cold else work.miss_share))
    until = mean(lambda result, *_: result.last_shed or 0)
    most = mean(lambda result, *_: max(row[2] for row in result.rows))
    minutes = mean(lambda result, *_: result.pod_seconds / 60)
    return f"{share:.2%}", f"{renders:.1%}", f"{until:.0f}", f"{most:.1f}", f"{minutes:.0f}"


def scenarios(plan):
    """The manifest as it is, and with its components, against what may come."""
    hot, cold = spikes(plan)
    large, huge = plan.work(1e8), plan.work(1e9)
    cpu, both = plan.autoscaler(), plan.autoscaler(**QUEUE)
    short = plan.cluster(room=4)
    wide = plan.autoscaler(most=60)
    run = lambda *what: over_seeds(plan, *what)  # noqa: E731
    return {
        "100 million, ten times as much": run(large, cpu, hot),
        "100 million, ten times as much, hpa-custom-metric": run(large, both, hot),
        "100 million, nothing stored": run(large, cpu, cold),
        "100 million, nothing stored, hpa-custom-metric": run(large, both, cold),
        "100 million, nothing stored, room for 4 pods until nodes come": run(large, cpu, cold, short),
        "1,000 million, ten times as much": run(huge, cpu, hot),
        "1,000 million, ten times as much, maxReplicas 60": run(huge, wide, hot),
        "1,000 million, ten times as much, maxReplicas 60, hpa-custom-metric": run(huge, plan.autoscaler(most=60, **QUEUE), hot),
    }


def sweeps(plan):
    """One number changed at a time, under the hardest of the scenarios that the manifest is for."""
    _, cold = spikes(plan)
    work = plan.work(1e8)
    run = lambda **changes: over_seeds(plan, work, plan.autoscaler(**changes), cold)  # noqa: E731
    pulses = Spike(factor=1.0, cold=True, begin=60.0, end=180.0, every=360.0, length=2400.0)
    return {
        "averageUtilization": {f"{share}": run(target=share / 100) for share in (50, 60, 65, 70, 80, 90)},
        "minReplicas": {f"{least}": run(least=least) for least in (1, 2, 3, 4, 6)},
        "scaleUp policies": {f"{percent} % or {pods} in 15 s": run(up_percent=percent, up_pods=pods) for percent, pods in ((25, 1), (50, 2), (100, 4), (200, 8))},
        "hpa-custom-metric, cut off at": {("never" if math.isinf(cap) else f"{cap:g}"): run(queue_target=0.7, queue_cap=cap) for cap in (1.0, 1.5, 2.0, math.inf)},
        "scaleDown window, 2 minutes of every 6": {
            f"{window} s": over_seeds(plan, work, plan.autoscaler(down_window=float(window)), pulses) for window in (0, 60, 120, 300)
        },
    }


def spike_runs(plan):
    """The runs that are drawn: the first seed, nothing stored."""
    _, cold = spikes(plan)
    work = plan.work(1e8)
    return {
        "Nothing stored, scaled on CPU": simulate(work, plan.autoscaler(), plan.cluster(), cold, 1),
        "The same with hpa-custom-metric": simulate(work, plan.autoscaler(**QUEUE), plan.cluster(), cold, 1),
    }


def averaged(rows, over=10):
    """(seconds, served, shed), each the mean over so many steps, for the eye."""
    result = []
    for at in range(0, len(rows) - over + 1, over):
        block = rows[at : at + over]
        result.append((block[over // 2][0], statistics.mean(row[3] for row in block), statistics.mean(row[4] for row in block)))
    return result
