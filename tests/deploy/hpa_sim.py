"""A seeded simulation of the Horizontal Pod Autoscaler's own algorithm, as Kubernetes documents it,
over pods of ours under a spike: who is served, who is shed, how many pods there are. Standard library
only; the same seed gives the same numbers. Never decides which numbers are good.

The autoscaler: every 15 s, desired = ceil(pods × usage / target); nothing within the tolerance of a
tenth; pods that are not ready count as idle when scaling up, pods without a metric as idle when
scaling up and as fully busy when scaling down, and neither may turn the direction round; then the
policies of `behavior`, and the window of scaleDown. The metric is an average over the last window of
the metrics server, and some seconds old when it is seen.

The pods: requests spread evenly over those that are ready; hits cost what they cost; renders wait for
a slot, and are refused at once when more wait than the slots do in a quarter of the deadline."""

import math
import random
from dataclasses import dataclass, field

STEP = 0.5
SYNC = 15.0
TOLERANCE = 0.1
# Until then a pod's CPU counts only when it was ready for all of the sample's window.
INITIALIZATION = 300.0


@dataclass(frozen=True)
class Work:
    """What reaches the pods: requests a second in quiet times, and what one costs in CPU seconds."""

    rate: float
    miss_share: float
    # (CPU seconds, weight) of renders as measured.
    renders: tuple
    hit_cpu: float

    @property
    def render_cpu(self):
        return sum(cost * weight for cost, weight in self.renders) / sum(weight for _, weight in self.renders)

    @property
    def cpu(self):
        """CPU seconds a second in quiet times."""
        return self.rate * (self.miss_share * self.render_cpu + (1 - self.miss_share) * self.hit_cpu)


@dataclass(frozen=True)
class Cluster:
    """Everything around: seconds."""

    schedule: float = 2.0
    pull: float = 3.0
    create: float = 1.5
    ready: float = 0.01
    # Startup probe, then the way of the endpoint to the load balancers.
    probe: float = 1.0
    endpoints: float = 2.0
    # Pods for which there is room; a further one waits for its node.
    room: int = 10**6
    node: float = 60.0
    # The metrics server's average over CPU, and the pipeline behind it.
    metrics_window: float = 15.0
    metrics_delay: float = 15.0
    # Prometheus: the range of the adapter's query, and the age of a scrape.
    query_window: float = 30.0
    query_delay: float = 10.0


@dataclass(frozen=True)
class Autoscaler:
    """The numbers of the manifest. `queue_target` is that of hpa-custom-metric, or None."""

    least: int = 2
    most: int = 20
    target: float = 0.65
    up_percent: int = 100
    up_pods: int = 4
    up_period: float = 15.0
    down_percent: int = 25
    down_period: float = 60.0
    down_window: float = 300.0
    queue_target: float = None
    # The adapter's query cuts the metric off here.
    queue_cap: float = math.inf


@dataclass(frozen=True)
class Spike:
    """Times what, from when to when, how long in all; seconds. `cold`: nothing is stored meanwhile."""

    factor: float = 10.0
    begin: float = 120.0
    end: float = 720.0
    length: float = 1500.0
    cold: bool = False
    # Comes again after so many seconds; 0: once.
    every: float = 0.0

    def now(self, at):
        """Whether it is on."""
        since = at - self.begin
        if self.every and since >= 0:
            since %= self.every
        return 0 <= since < self.end - self.begin


@dataclass
class Pod:
    """One pod: born when it was asked for, ready from when on."""

    born: float
    ready: float
    # CPU seconds of renders that wait or run.
    backlog: float = 0.0
    # What it used, and how many ran and waited per slot: one entry a step.
    used: list = field(default_factory=list)
    queued: list = field(default_factory=list)


@dataclass
class Result:
    """Per step: seconds, pods that are ready, pods there are, served and shed requests a second."""

    rows: list
    served: float = 0.0
    shed: float = 0.0
    shed_in_spike: float = 0.0
    asked_in_spike: float = 0.0
    pod_seconds: float = 0.0
    worst_wait: float = 0.0
    last_shed: float = None

    @property
    def shed_share(self):
        """Of the requests during the spike."""
        return self.shed_in_spike / self.asked_in_spike if self.asked_in_spike else 0.0


def poisson(chance, mean):
    """A Poisson number; the normal law stands in where it is large."""
    if mean > 60:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count


class Simulation:
    """One run. `slots` and `deadline` are those of the pods."""

    def __init__(self, work, scaler, cluster, spike, seed, slots=2, deadline=10.0):
        self.work, self.scaler, self.cluster, self.spike = work, scaler, cluster, spike
        self.slots, self.deadline = slots, deadline
        self.chance = random.Random(seed)
        self.costs = [cost for cost, _ in work.renders]
        self.weights = [weight for _, weight in work.renders]
        steady = math.ceil(work.cpu / slots / scaler.target - 1e-9)
        first = min(scaler.most, max(scaler.least, steady))
        # All of them old, ready, and warm.
        self.pods = [Pod(-1e6, -1e6) for _ in range(first)]
        self.wanted = first
        # Of the autoscaler: what it would have liked, and what it changed, and when.
        self.recommended = [(-1.0, first)]
        self.changes = []
        # The metrics server and the autoscaler tick at times of their own.
        self.scrape_phase = self.chance.uniform(0, cluster.metrics_window)
        self.sync_phase = self.chance.uniform(0, SYNC)

    # --- pods -----------------------------------------------------------------------------------

    def start_pod(self, now):
        c, jitter = self.cluster, self.chance.uniform(0.8, 1.3)
        waiting = c.node if len(self.pods) >= c.room else 0.0
        took = waiting + (c.schedule + c.pull + c.create) * jitter + c.ready + c.probe + c.endpoints
        self.pods.append(Pod(now, now + took))

    def stop_pods(self, count):
        # Those not ready first, then the youngest, as the ReplicaSet controller does it.
        self.pods.sort(key=lambda pod: pod.ready)
        del self.pods[len(self.pods) - count :]

    def serve(self, now, rate, miss_share, result):
        """One step of all pods; returns (served, shed)."""
        ready = [pod for pod in self.pods if pod.ready <= now]
        served = shed = 0
        mean_render = self.work.render_cpu
        for pod in self.pods:
            if pod.ready > now:
                pod.used.append(0.0)
                pod.queued.append(0.0)
                continue
            asked = rate * STEP / len(ready)
            hits = poisson(self.chance, asked * (1 - miss_share))
            misses = poisson(self.chance, asked * miss_share)
            # So many CPU seconds may wait, beside what runs.
            room = self.slots * self.deadline / 4 + self.slots * STEP
            admitted = 0
            for cost in self.chance.choices(self.costs, self.weights, k=misses):
                if pod.backlog + cost <= room:
                    pod.backlog += cost
                    admitted += 1
            done = min(pod.backlog, self.slots * STEP)
            pod.backlog -= done
            pod.used.append((done + hits * self.work.hit_cpu) / STEP)
            pod.queued.append(done / STEP / self.slots + pod.backlog / mean_render / self.slots)
            result.worst_wait = max(result.worst_wait, pod.backlog / self.slots)
            served += hits + admitted
            shed += misses - admitted
        return served, shed

    # --- what the autoscaler sees ------------------------------------------------------------------

    def sample(self, pod, now, series, is_cpu):
        """(average over the newest window that can be seen, begin of that window) or None."""
        c = self.cluster
        window, delay = (c.metrics_window, c.metrics_delay) if is_cpu else (c.query_window, c.query_delay)
        end = now - delay
        end -= (end - self.scrape_phase) % c.metrics_window
        begin = end - window
        first = max(pod.born, 0.0)
        # CPU needs two readings of a counter, a gauge one.
        if pod.born > (begin if is_cpu else end) and pod.born > 0:
            return None
        low, high = (int(round((at - first) / STEP)) for at in (max(begin, first), end))
        values = series[max(low, 0) : max(high, 0)]
        return (sum(values) / len(values) if values else (series[0] if series else 0.0), begin)

    def desired(self, now, target, series_of, per_pod, is_cpu):
        """How many pods one metric asks for; `per_pod` makes its value a share."""
        current = self.wanted
        values, unready, missing = [], 0, 0
        for pod in self.pods:
            found = self.sample(pod, now, series_of(pod), is_cpu)
            if pod.ready > now:
                unready += 1
            elif found is None:
                missing += 1
            elif is_cpu and now - pod.born < INITIALIZATION and found[1] < pod.ready:
                unready += 1
            else:
                share = found[0] / per_pod
                values.append(share if is_cpu else min(share, self.scaler.queue_cap))
        if not values:
            return current
        ratio = sum(values) / len(values) / target
        if not missing and not (unready and ratio > 1):
            return current if abs(ratio - 1) <= TOLERANCE else math.ceil(ratio * len(values) - 1e-9)
        # Assumed values of the others, against the direction.
        if missing:
            busy = max(1.0, target) if is_cpu else target
            values += [busy if ratio < 1 else 0.0] * missing
        if unready and ratio > 1:
            values += [0.0] * unready
        again = sum(values) / len(values) / target
        if abs(again - 1) <= TOLERANCE or (ratio < 1) != (again < 1):
            return current
        count = math.ceil(again * len(values) - 1e-9)
        if (again < 1 and count > current) or (again > 1 and count < current):
            return current
        return count

    def behave(self, now, desired):
        """The stabilisation windows and policies of `behavior`, then the bounds."""
        s, current = self.scaler, self.wanted
        self.recommended = [(at, n) for at, n in self.recommended if now - at <= s.down_window]
        self.recommended.append((now, desired))
        if desired < current:
            desired = min(current, max(n for _, n in self.recommended))
        if desired > current:
            added = sum(change for at, change in self.changes if change > 0 and now - at < s.up_period)
            before = current - added
            limit = max(math.ceil(before * (1 + s.up_percent / 100)), before + s.up_pods)
            desired = min(desired, max(limit, current))
        elif desired < current:
            gone = -sum(change for at, change in self.changes if change < 0 and now - at < s.down_period)
            before = current + gone
            limit = math.floor(before * (1 - s.down_percent / 100))
            desired = max(desired, min(limit, current))
        return min(s.most, max(s.least, desired))

    def sync(self, now):
        """One round of the autoscaler."""
        s = self.scaler
        wishes = [self.desired(now, s.target, lambda pod: pod.used, self.slots, True)]
        if s.queue_target:
            wishes.append(self.desired(now, s.queue_target, lambda pod: pod.queued, 1.0, False))
        wanted = self.behave(now, max(wishes))
        if wanted != self.wanted:
            self.changes.append((now, wanted - self.wanted))
        for _ in range(wanted - self.wanted):
            self.start_pod(now)
        if wanted < self.wanted:
            self.stop_pods(self.wanted - wanted)
        self.wanted = wanted

    # --- the run ---------------------------------------------------------------------------------------

    def run(self):
        result = Result([])
        synced = -1
        for step in range(int(self.spike.length / STEP)):
            now = step * STEP
            spiking = self.spike.now(now)
            rate = self.work.rate * (self.spike.factor if spiking else 1.0)
            misses = 1.0 if spiking and self.spike.cold else self.work.miss_share
            served, shed = self.serve(now, rate, misses, result)
            result.served += served
            result.shed += shed
            result.pod_seconds += len(self.pods) * STEP
            if spiking:
                result.asked_in_spike += served + shed
                result.shed_in_spike += shed
            if shed:
                result.last_shed = now - self.spike.begin
            ready = sum(pod.ready <= now for pod in self.pods)
            result.rows.append((now, ready, len(self.pods), served / STEP, shed / STEP))
            rounds = int((now - self.sync_phase) // SYNC)
            if rounds > synced:
                synced = rounds
                self.sync(now)
        return result


def simulate(work, scaler, cluster=Cluster(), spike=Spike(), seed=1):
    """One run from its seed."""
    return Simulation(work, scaler, cluster, spike, seed).run()
