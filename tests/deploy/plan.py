"""The sizing formula: from what was measured and what is planned to CPU, pods, requests and money.
Pure arithmetic; reads the two files of k8s/capacity and nothing else."""

import json
import math
import tomllib
from pathlib import Path

from hpa_sim import Autoscaler, Cluster, Work

FOLDER = Path(__file__).resolve().parents[2] / "k8s" / "capacity"
MONTH = 30 * 86400


class Plan:
    """Both files, and what follows from them."""

    def __init__(self):
        self.measured = json.loads((FOLDER / "measured.json").read_text())
        self.plan = tomllib.loads((FOLDER / "plan.toml").read_text())
        self.traffic, self.prices, self.waits = (self.plan[name] for name in ("traffic", "prices", "waits"))
        self.slots = math.ceil(float(self.plan["pod"]["cpu"]))
        self.target = self.plan["autoscaler"]["averageUtilization"] / 100
        t = self.traffic
        self.miss_share = (1 - t["memory_hits"]) * (1 - t["store_hits"])
        self.store_share = (1 - t["memory_hits"]) * t["store_hits"]

    # --- what one costs -------------------------------------------------------------------------

    def weight(self, row):
        """Of a measured render in the mix that is asked for."""
        mix = self.plan["mix"]
        return mix["width"][str(row["w"])] * mix["format"][row["f"]]

    def over_mix(self, what):
        rows = self.measured["miss"]
        return sum(row[what] * self.weight(row) for row in rows) / sum(map(self.weight, rows))

    @property
    def miss_ms(self):
        return self.over_mix("cpu_ms")

    @property
    def variant_bytes(self):
        return self.over_mix("bytes")

    def hit_ms(self, memory=None):
        """A request that is not rendered, by the shares of memory and store."""
        memory = self.traffic["memory_hits"] if memory is None else memory
        store = (1 - memory) * self.traffic["store_hits"]
        spent = memory * self.measured["memory_hit"]["cpu_ms"] + store * self.measured["store_hit"]["cpu_ms"]
        return spent / (memory + store)

    @property
    def request_ms(self):
        """CPU of a request that reaches a pod, on average."""
        return self.miss_share * self.miss_ms + (1 - self.miss_share) * self.hit_ms()

    # --- how much of it --------------------------------------------------------------------------

    def requests(self, page_views):
        """Requests a month that reach the pods."""
        return page_views * self.traffic["images_per_page"] * (1 - self.traffic["cdn_hits"])

    def rate(self, page_views):
        """The same a second in the busiest hour."""
        return self.requests(page_views) / MONTH * self.traffic["peak"]

    def pods(self, cpu):
        """Pods for so many CPU seconds a second."""
        return max(self.plan["autoscaler"]["minReplicas"], math.ceil(cpu / self.target / self.slots - 1e-9))

    def work(self, page_views):
        """The busiest hour, for the simulation."""
        renders = tuple((row["cpu_ms"] / 1000, self.weight(row)) for row in self.measured["miss"])
        return Work(self.rate(page_views), self.miss_share, renders, self.hit_ms() / 1000)

    def autoscaler(self, **changes):
        a = self.plan["autoscaler"]
        return Autoscaler(
            **{"least": a["minReplicas"], "most": a["maxReplicas"], "target": self.target, "down_window": float(a["scaleDown_stabilizationWindowSeconds"]), **changes}
        )

    def cluster(self, **changes):
        c = self.plan["cluster"]
        return Cluster(**{**c, "ready": self.measured["start_to_ready_ms"] / 1000, **changes})

    # --- money -----------------------------------------------------------------------------------

    def store_requests(self, page_views):
        """(GETs and HEADs, PUTs) a month."""
        requests = self.requests(page_views)
        miss = self.measured["store_requests"]["miss"]
        gets = sum(count for name, count in miss.items() if name.startswith("GET"))
        puts = sum(count for name, count in miss.items() if name.startswith("PUT"))
        hit = self.measured["store_requests"]["store_hit"]["GET variants"]
        heads = (1 - self.traffic["memory_hits"]) * self.traffic["head"]
        return requests * (self.miss_share * gets + self.store_share * hit + heads), requests * self.miss_share * puts

    def store_cost(self, page_views):
        gets, puts = self.store_requests(page_views)
        return gets * self.prices["get"] + puts * self.prices["put"]

    def storage_gb(self):
        catalogue = self.plan["catalogue"]
        return catalogue["originals"] * catalogue["variants"] * self.variant_bytes / 1e9

    def mean_pods(self, requests):
        """Pods on average over a day, never fewer than the least."""
        cpu = requests / MONTH * self.request_ms / 1000
        return max(self.plan["autoscaler"]["minReplicas"], cpu / self.target / self.slots)

    def pods_cost(self, requests, cluster=True):
        hours = MONTH / 3600
        pods = self.mean_pods(requests) * self.slots * self.prices["vcpu_hour"] * hours
        return pods + (self.prices["cluster_hour"] * hours if cluster else 0)

    def seconds_alone(self):
        """(a hit, a render) in seconds where every instance has little memory of its own: hits come
        from the store, writes are waited for."""
        w = self.waits
        hit = w["store_get"] + self.measured["store_hit"]["cpu_ms"]
        miss = w["store_get"] + w["original_get"] + self.miss_ms + w["store_put"]
        return hit / 1000, miss / 1000

    def alone(self, bill):
        """The mean of `bill(seconds)` over hits and renders, without a memory tier."""
        hit, miss = self.seconds_alone()
        share = 1 - self.traffic["store_hits"]
        return (1 - share) * bill(hit) + share * bill(miss)

    def lambda_cost(self, requests):
        p = self.prices
        seconds = self.alone(lambda s: math.ceil(s * 1000) / 1000)
        return requests * (p["lambda_request"] + seconds * p["lambda_gb"] * p["lambda_gb_second"])

    def run_cost(self, requests):
        """Cloud Run bills an instance while it has a request, in tenths of a second: alone when there
        are few, shared when they overlap."""
        p = self.prices
        rate = requests / MONTH
        overlap = 1 - math.exp(-rate * self.alone(lambda s: math.ceil(s * 10) / 10))
        cpu = rate * (self.miss_share_alone * self.miss_ms + (1 - self.miss_share_alone) * self.measured["store_hit"]["cpu_ms"]) / 1000
        instances = max(overlap, cpu / 0.7 / self.slots)
        second = self.slots * p["run_vcpu_second"] + 1.0 * p["run_gib_second"]
        return requests * p["run_request"] + instances * MONTH * second

    @property
    def miss_share_alone(self):
        return 1 - self.traffic["store_hits"]

    def break_even(self, cost, cluster):
        """Requests a month from which pods are cheaper than `cost`; None when they never are."""
        low, high = 1e4, 1e12
        cheaper = lambda n: self.pods_cost(n, cluster) < cost(n)  # noqa: E731
        if cheaper(low) or not cheaper(high):
            return None
        while high / low > 1.001:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if cheaper(middle) else (middle, high)
        return high
