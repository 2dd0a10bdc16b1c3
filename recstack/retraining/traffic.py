"""What a server's metrics page counts of one model, or of one version of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from features.errors import InputError, RecstackError

# Of a model as a whole: TensorFlow Serving's names.
_REQUESTS, _LATENCY = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency"
# Of each version: `recstack serve` has them beside the others.
_VERSION_REQUESTS = ":recstack:serving:version_request_count"
_VERSION_LATENCY = ":recstack:serving:version_request_latency"
_OK = "OK"
_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Requests to a model, counted since its server started or since an earlier look."""

    requests: float = 0.0
    """All of them."""
    errors: float = 0.0
    """Those with another status than OK."""
    timed: float = 0.0
    """Requests whose latency is known: the answered ones."""
    microseconds: float = 0.0
    """Sum of their latencies."""

    @property
    def error_rate(self) -> float:
        """Share of the requests that failed; 0 without any."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def milliseconds(self) -> float:
        """Mean latency of the answered requests; 0 without any."""
        return self.microseconds / self.timed / 1000 if self.timed else 0.0

    def since(self, before: "Traffic") -> "Traffic":
        """What was added since an earlier look; all of it if the server has started anew."""
        if self.requests < before.requests or self.timed < before.timed:
            return self
        return Traffic(
            requests=self.requests - before.requests,
            errors=self.errors - before.errors,
            timed=self.timed - before.timed,
            microseconds=self.microseconds - before.microseconds,
        )


@dataclass(frozen=True, kw_only=True)
class Page:
    """One look at a metrics page."""

    url: str
    samples: tuple[Sample, ...]
    """All numbers on the page."""
    tells_versions: bool
    """Whether it counts the versions of a model apart, as that of `recstack serve` does."""

    def traffic(self, model: str, version: int | None = None) -> Traffic:
        """What the page counts of a model, or of one version of it."""
        requests, latency = (_REQUESTS, _LATENCY) if version is None else (_VERSION_REQUESTS, _VERSION_LATENCY)
        wanted = {"model_name": model} if version is None else {"model_name": model, "version": str(version)}
        samples = [sample for sample in self.samples if wanted.items() <= sample.labels.items()]
        # The parser names samples as OpenMetrics does, which ends all counters so.
        answered = [sample for sample in samples if sample.name == f"{requests}_total"]
        return Traffic(
            requests=_sum(answered),
            errors=_sum(sample for sample in answered if sample.labels.get("status") != _OK),
            timed=_sum(sample for sample in samples if sample.name == f"{latency}_count"),
            microseconds=_sum(sample for sample in samples if sample.name == f"{latency}_sum"),
        )


def read_page(url: str) -> Page:
    """Looks at a metrics page.

    Raises:
        InputError: the address is none of HTTP.
        RecstackError: the server does not answer, or has no page in Prometheus' format there.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"metrics page {url!r}: expected an address such as http://host:8501/metrics")
    try:
        with urlopen(url, timeout=_SECONDS) as answer:
            text = answer.read().decode("utf-8")
        families = list(text_string_to_metric_families(text))
    except (OSError, ValueError) as error:
        raise RecstackError(f"metrics page {url}: cannot be read ({error}); is the server up?") from error
    return Page(
        url=url,
        samples=tuple(sample for family in families for sample in family.samples),
        tells_versions=any(family.name == _VERSION_REQUESTS for family in families),
    )


def _sum(samples: Iterable[Sample]) -> float:
    return float(sum(sample.value for sample in samples))
