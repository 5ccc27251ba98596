"""The simulated autoscaler against what Kubernetes' documentation says of the real one, case by case,
with pods set up by hand. What does not hold is told in a sentence."""

from hpa_sim import SYNC, Autoscaler, Cluster, Pod, Simulation, Spike, Work

WORK = Work(rate=1.0, miss_share=1.0, renders=((0.01, 1.0),), hit_cpu=0.0)
NOW = 1000.0


def simulation(usages, unready=0, missing=0, **numbers):
    """Old pods with these shares of their CPU, and young ones that are not ready, or have no metric."""
    cluster = Cluster(metrics_delay=0.0, query_delay=0.0)
    made = Simulation(WORK, Autoscaler(**{"least": 1, "most": 100, "target": 0.5, **numbers}), cluster, Spike(), 1)
    made.scrape_phase = NOW % cluster.metrics_window
    steps = int(NOW / 0.5)
    made.pods = [Pod(-1e6, -1e6, used=[share * made.slots] * steps, queued=[share] * steps) for share in usages]
    made.pods += [Pod(NOW - 5, NOW + 5) for _ in range(unready)]
    made.pods += [Pod(NOW - 5, NOW - 1) for _ in range(missing)]
    made.wanted = len(made.pods)
    return made


def desired(usages, **what):
    made = simulation(usages, **what)
    return made.desired(NOW, made.scaler.target, lambda pod: pod.used, made.slots, True)


def behaved(before, *asked, every=SYNC, **numbers):
    """Pods after the autoscaler has asked for so many, one round after the other."""
    made = simulation([0.5] * before, **numbers)
    made.recommended = [(NOW - SYNC, before)]
    for number, count in enumerate(asked):
        wanted = made.behave(NOW + number * every, count)
        if wanted != made.wanted:
            made.changes.append((NOW + number * every, wanted - made.wanted))
        made.wanted = wanted
    return made.wanted


def problems():
    cases = {
        "twice the target doubles the pods": (desired([1.0, 1.0]), 4),
        "half the target halves them": (desired([0.25] * 4), 2),
        "it rounds up": (desired([0.6, 0.6, 0.6]), 4),
        "a tenth off the target changes nothing": (desired([0.54] * 10), 10),
        "pods that are not ready count as idle upwards": (desired([1.0, 1.0], unready=1), 4),
        "as many of them as there are pods at twice the target: nothing": (desired([1.0, 1.0], unready=2), 4),
        "pods without a metric count as idle upwards": (desired([1.0] * 3, missing=1), 6),
        "and never turn the direction round": (desired([0.6, 0.6], missing=2), 4),
        "pods without a metric count as busy downwards": (desired([0.1] * 9, missing=1), 4),
        "no more than double, or four more, in a period": (behaved(2, 50), 6),
        "and double where that is more": (behaved(10, 50), 20),
        "what was added within the period counts": (behaved(10, 20, 50, every=5.0), 20),
        "the next period allows as much again": (behaved(10, 20, 50), 40),
        "downwards the highest wish of the window holds": (behaved(10, 2, 2, 2), 10),
        "without a window a quarter goes in a minute": (behaved(20, 2, down_window=0.0), 15),
        "never above the most": (behaved(10, 99, most=12), 12),
        "never below the least": (behaved(4, 1, least=3, down_window=0.0, down_percent=100), 3),
    }
    for what, (found, wanted) in cases.items():
        if found != wanted:
            yield f"{what}: {found} instead of {wanted}"


if __name__ == "__main__":
    print("\n".join(problems()) or "holds")
