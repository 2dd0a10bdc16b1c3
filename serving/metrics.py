"""Counters and histograms with TensorFlow Serving's names, and the Prometheus page.

`prometheus-client` is not used because it appends `_total` to the names of counters, while the real server exports
`/tensorflow/serving/request_count` as `:tensorflow:serving:request_count`.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence

LATENCY_BUCKETS = tuple(10 * 1.8**power for power in range(33))
"""Upper bounds in microseconds, 10 us to about 20 minutes."""
EXAMPLE_BUCKETS = tuple(2.0**power for power in range(15))
"""Upper bounds in examples per request."""
DEFAULT_PATH = "/monitoring/prometheus/metrics"


class Counter:
    """A counter for each combination of label values."""

    kind = "counter"

    def __init__(self, path: str, description: str, labels: Sequence[str]) -> None:
        self.path, self.description, self.labels = path, description, tuple(labels)
        self._values: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def add(self, *labels: str, by: float = 1) -> None:
        """Increments the counter of these label values."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + by

    def value(self, *labels: str) -> float:
        """The counter of these label values; 0 if it was never incremented."""
        return self._values.get(labels, 0)

    def totals(self) -> dict[tuple[str, ...], float]:
        """Counters by label values."""
        with self._lock:
            return dict(self._values)

    def lines(self) -> Iterator[str]:
        """The lines of the Prometheus page."""
        for labels, value in self.totals().items():
            yield _line(self.path, self.labels, labels, value)


class Histogram:
    """A histogram for each combination of label values."""

    kind = "histogram"

    def __init__(self, path: str, description: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.path, self.description, self.labels, self._bounds = path, description, tuple(labels), bounds
        self._cells: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}
        self._lock = threading.Lock()

    def add(self, *labels: str, value: float) -> None:
        """Adds a value to the histogram of these label values."""
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            cell = self._cells.get(labels)
            if cell is None:
                cell = self._cells[labels] = ([0] * (len(self._bounds) + 1), [0.0])
            cell[0][bucket] += 1
            cell[1][0] += value

    def totals(self) -> dict[tuple[str, ...], float]:
        """Number of values by label values."""
        with self._lock:
            return {labels: float(sum(counts)) for labels, (counts, _) in self._cells.items()}

    def lines(self) -> Iterator[str]:
        """The lines of the Prometheus page."""
        with self._lock:
            cells = {labels: (list(counts), total[0]) for labels, (counts, total) in self._cells.items()}
        names = (*self.labels, "le")
        for labels, (counts, total) in cells.items():
            seen = 0
            for bound, count in zip((*self._bounds, float("inf")), counts, strict=True):
                seen += count
                shown = "+Inf" if bound == float("inf") else f"{bound:g}"
                yield _line(f"{self.path}_bucket", names, (*labels, shown), seen)
            yield _line(f"{self.path}_sum", self.labels, labels, total)
            yield _line(f"{self.path}_count", self.labels, labels, seen)


def _name(path: str) -> str:
    return path.replace("/", ":").replace("-", "_")


def _line(path: str, names: Sequence[str], values: Sequence[str], number: float) -> str:
    escaped = (value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for value in values)
    labels = ",".join(f'{name}="{value}"' for name, value in zip(names, escaped, strict=True))
    return f"{_name(path)}{{{labels}}} {number:.15g}"


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        serving = "/tensorflow/serving/"
        self.request_count = Counter(
            f"{serving}request_count", "The total number of requests.", ["model_name", "status"]
        )
        self.request_latency = Histogram(
            f"{serving}request_latency",
            "Distribution of wall time (in microseconds) for Tensorflow Serving request.",
            ["model_name", "API", "entrypoint"],
            LATENCY_BUCKETS,
        )
        self.runtime_latency = Histogram(
            f"{serving}runtime_latency",
            "Distribution of wall time (in microseconds) for Tensorflow runtime.",
            ["model_name", "API", "runtime"],
            LATENCY_BUCKETS,
        )
        self.example_counts = Histogram(
            f"{serving}request_example_counts",
            "The number of tensorflow.Examples per request.",
            ["model"],
            EXAMPLE_BUCKETS,
        )
        self.example_count_total = Counter(
            f"{serving}request_example_count_total", "The total number of tensorflow.Examples.", ["model"]
        )
        self.warmup_latency = Histogram(
            f"{serving}model_warmup_latency",
            "Distribution of wall time (in microseconds) for warming up the model.",
            ["model_path", "status"],
            LATENCY_BUCKETS,
        )
        self.warmup_records = Counter(
            f"{serving}model_warmup_records_read",
            "The total number of warmup records that were read successfully.",
            ["model_path", "status"],
        )
        self.load_attempts = Counter(
            "/tensorflow/cc/saved_model/load_attempt_count",
            "The number of times a SavedModel was requested to be loaded.",
            ["model_path", "status"],
        )
        self.load_latency = Counter(
            "/tensorflow/cc/saved_model/load_latency",
            "Latency in microseconds for SavedModels that were successfully loaded.",
            ["model_path"],
        )
        self.graph_runs = Counter(
            "/tensorflow/core/graph_runs",
            "The number of graph executions used to collect /tensorflow/core/graph_run_time_usecs",
            [],
        )
        self.graph_run_time = Counter(
            "/tensorflow/core/graph_run_time_usecs", "The total time spent on executing graphs in microseconds.", []
        )
        # The real server's metrics do not tell versions apart; a canary is judged by these.
        self.version_request_count = Counter(
            "/recstack/serving/version_request_count",
            "Inference requests by the version that answered or refused them.",
            ["model_name", "version", "status"],
        )
        self.version_request_latency = Histogram(
            "/recstack/serving/version_request_latency",
            "Distribution of wall time (in microseconds) of answered inference requests, by version.",
            ["model_name", "version"],
            LATENCY_BUCKETS,
        )
        self.families: list[Counter | Histogram] = [
            each for each in vars(self).values() if isinstance(each, Counter | Histogram)
        ]

    def add_family(self, family: Counter | Histogram) -> None:
        """Adds a metric of another part of the server to the page."""
        self.families.append(family)

    def totals(self, path: str) -> dict[tuple[str, ...], float]:
        """Counts of the metric with this path, by label values; empty if there is no such metric."""
        return next((family.totals() for family in self.families if family.path == path), {})

    def page(self) -> str:
        """The Prometheus page, in text format."""
        lines: list[str] = []
        for family in self.families:
            lines += [f"# HELP {_name(family.path)} {family.description}"]
            lines += [f"# TYPE {_name(family.path)} {family.kind}", *family.lines()]
        return "\n".join(lines) + "\n"
