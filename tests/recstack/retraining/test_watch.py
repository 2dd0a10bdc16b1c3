"""A watched canary is promoted within its band and taken back beyond it, by what the servers' metrics pages count."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from features.errors import InputError, RecstackError
from recstack.__main__ import main
from recstack.config import StackConfig
from recstack.retraining.config import CanaryConfig
from recstack.retraining.release import canaries
from recstack.retraining.traffic import Traffic, read_page
from recstack.retraining.watch import Pages, watch_canary
from serving.metrics import Metrics
from trainer.export.labels import stable_versions

MODEL = "recommender"
Serve = Callable[..., str]


def counted(canary: tuple[int, int, float], stable: tuple[int, int, float]) -> str:
    """The page of `recstack serve`: answered requests, failed ones and milliseconds each, of versions 2 and 1."""
    metrics = Metrics()
    for version, (answered, failed, milliseconds) in (("2", canary), ("1", stable)):
        metrics.version_request_count.add(MODEL, version, "OK", by=answered)
        metrics.version_request_count.add(MODEL, version, "INTERNAL", by=failed)
        for _ in range(answered):
            metrics.version_request_latency.add(MODEL, version, value=milliseconds * 1000)
    return metrics.page()


def of_tensorflow_serving(answered: int, failed: int, milliseconds: float) -> str:
    """The page of TensorFlow Serving, which does not tell versions apart."""
    lines = [
        "# TYPE :tensorflow:serving:request_count counter",
        f':tensorflow:serving:request_count{{model_name="{MODEL}",status="OK"}} {answered}',
        f':tensorflow:serving:request_count{{model_name="{MODEL}",status="INTERNAL"}} {failed}',
        "# TYPE :tensorflow:serving:request_latency histogram",
        f':tensorflow:serving:request_latency_bucket{{model_name="{MODEL}",API="Predict",entrypoint="GRPC",le="+Inf"}} '
        f"{answered}",
        f':tensorflow:serving:request_latency_sum{{model_name="{MODEL}",API="Predict",entrypoint="GRPC"}} '
        f"{answered * milliseconds * 1000}",
        f':tensorflow:serving:request_latency_count{{model_name="{MODEL}",API="Predict",entrypoint="GRPC"}} {answered}',
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves pages, a later one at each look, the last one ever after; gives their address."""
    servers = []

    def start(*pages: str) -> str:
        left = list(pages)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(200)
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *_: object) -> None:
                """Keeps the terminal clean."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/metrics"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def stack(canary_stack: StackConfig) -> StackConfig:
    """Judges a version by ten requests."""
    canary = CanaryConfig(largest_errors=0.05, largest_latency=2.0, smallest_requests=10)
    return replace(canary_stack, retrain=replace(canary_stack.retrain, canary=canary))


class Clock:
    """Time that passes in pauses alone, so that the number of looks at a page does not depend on the machine."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


# What was counted before the watch is left out: the canary's first load may have failed a hundred times.
BEFORE = counted((5, 100, 900.0), (1000, 0, 1.0))


def after(canary: tuple[int, int, float], stable: tuple[int, int, float]) -> str:
    """The page after these requests, with all that was before."""
    metrics = counted((5, 100, 900.0), (1000, 0, 1.0))
    return _sum(metrics, counted(canary, stable))


def _sum(one: str, other: str) -> str:
    lines = []
    added = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in other.splitlines() if line[0] != "#"}
    for line in one.splitlines():
        name, value = line.rsplit(" ", 1)
        lines.append(line if line[0] == "#" else f"{name} {float(value) + added.get(name, 0.0):.15g}")
    return "\n".join(lines) + "\n"


def test_a_good_canary_is_promoted(stack: StackConfig, serve: Serve) -> None:
    url = serve(BEFORE, after((20, 0, 1.5), (100, 0, 1.0)))
    ended = watch_canary(stack, Pages(canary=(url,)), 0.0)
    assert ended.outcome == "promoted"
    assert ended.reason == f"{MODEL}: 20 requests to the canary, 0.00% failed, 1.5 ms each, beside 0.00% and 1 ms"
    assert stable_versions(stack.layout) == dict.fromkeys(stack.export.models, 2)


@pytest.mark.parametrize(
    ("canary", "stable", "reason"),
    [
        ((18, 2, 1.0), (96, 4, 1.0), "10.00% of the canary's 20 requests failed, beside 4.00% of the stable version's"),
        ((20, 0, 2.5), (100, 0, 1.0), "the canary took 2.5 ms a request, beside 1 ms of the stable version"),
    ],
    ids=["errors", "latency"],
)
def test_a_canary_beyond_its_band_is_taken_back_at_once(
    stack: StackConfig,
    serve: Serve,
    canary: tuple[int, int, float],
    stable: tuple[int, int, float],
    reason: str,
) -> None:
    url = serve(BEFORE, BEFORE, after(canary, stable))
    ended = watch_canary(stack, Pages(canary=(url,)), 3600.0, pause=0.01)
    assert ended.outcome == "rolled back"
    assert reason in ended.reason
    assert canaries(stack) == {}
    assert stable_versions(stack.layout) == dict.fromkeys(stack.export.models, 1) | {"retrieval_exact": 1}
    assert stack.layout.model("recommender").versions() == [1, 2, 3]


@pytest.mark.parametrize(
    ("canary", "stable"),
    [((18, 2, 1.0), (94, 6, 1.0)), ((20, 0, 1.9), (100, 0, 1.0)), ((4, 5, 1.0), (100, 0, 1.0))],
    ids=["as many errors", "as fast", "too few to say"],
)
def test_a_canary_within_its_band_stays(
    stack: StackConfig,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    canary: tuple[int, int, float],
    stable: tuple[int, int, float],
) -> None:
    monkeypatch.setattr("recstack.retraining.watch.time", Clock())
    url = serve(BEFORE, after(canary, stable), after((30, 0, 1.0), (100, 0, 1.0)))
    assert watch_canary(stack, Pages(canary=(url,)), 0.1, pause=0.04).outcome == "promoted"


@pytest.mark.parametrize(
    ("canary", "stable"),
    [((9, 0, 1.0), (100, 0, 1.0)), ((0, 100, 1.0), (0, 100, 1.0))],
    ids=["too few", "all fail, with the stable version too"],
)
def test_with_too_few_answers_labels_stay(
    stack: StackConfig, serve: Serve, canary: tuple[int, int, float], stable: tuple[int, int, float]
) -> None:
    url = serve(BEFORE, after(canary, stable))
    with pytest.raises(RecstackError, match=r"the canary answered \d requests, .*smallest_requests = 10 expected"):
        watch_canary(stack, Pages(canary=(url,)), 0.0)
    assert canaries(stack) == dict.fromkeys(stack.export.models, 1)


def test_two_servers_of_tensorflow_serving_are_compared(stack: StackConfig, serve: Serve) -> None:
    canary = serve(of_tensorflow_serving(0, 0, 0.0), of_tensorflow_serving(20, 5, 1.0))
    stable = serve(of_tensorflow_serving(500, 0, 9.0), of_tensorflow_serving(600, 0, 9.0))
    ended = watch_canary(stack, Pages(canary=(canary,), stable=(stable,)), 0.0)
    assert (ended.outcome, ended.reason.split(", ")[0]) == (
        "rolled back",
        f"{MODEL}: 20.00% of the canary's 25 requests failed",
    )


def test_one_server_that_does_not_tell_versions_apart_is_refused(stack: StackConfig, serve: Serve) -> None:
    with pytest.raises(InputError, match=r"counts no versions; expected .* --stable-page"):
        watch_canary(stack, Pages(canary=(serve(of_tensorflow_serving(0, 0, 0.0)),)), 0.0)


def test_a_server_that_has_started_anew_counts_from_zero(serve: Serve) -> None:
    url = serve(of_tensorflow_serving(500, 5, 2.0), of_tensorflow_serving(40, 1, 2.0))
    before, now = read_page(url).traffic(MODEL), read_page(url).traffic(MODEL)
    assert now.since(before) == now == Traffic(requests=41, errors=1, timed=40, microseconds=80_000)


def test_the_verb_ends_with_three_and_keeps_the_reason(
    stack: StackConfig, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    config = stack.workdir.parent / "stack.toml"
    config.write_text(stack.to_toml())
    flags = ["--config", str(config), "--watch", "0.001", "--page", serve(BEFORE, after((10, 10, 1.0), (100, 0, 1.0)))]
    assert main(["promote", "--json", *flags]) == 3
    ended = json.loads(capsys.readouterr().out)
    assert ended["outcome"] == "rolled back"
    assert "50.00% of the canary's 20 requests failed" in ended["reason"]
    assert main(["promote", *flags]) == 2
    assert "no canary found" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [["--watch", "1"], ["--page", "http://h/m"], ["--watch", "0", "--page", "http://h/m"]]
)
def test_flags_that_make_no_sense_are_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", *flags]) == 2
    assert "--watch" in capsys.readouterr().err


def test_a_server_that_is_down_is_named(stack: StackConfig) -> None:
    with pytest.raises(RecstackError, match=r"metrics page http://127.0.0.1:9/metrics: cannot be read"):
        watch_canary(stack, Pages(canary=("http://127.0.0.1:9/metrics",)), 0.0)
    assert canaries(stack) == dict.fromkeys(stack.export.models, 1)
