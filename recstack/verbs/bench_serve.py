"""`recstack bench-serve`: load on a running server, with a model's own requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.table import Table

from features.disk.exported import ModelLayout
from features.errors import InputError
from recstack.console import Voice

if TYPE_CHECKING:
    from serving.extras.load_generator import Outcome


@dataclass(frozen=True, kw_only=True)
class BenchArguments:
    """Sends a model's recorded requests to a running server and reports how long the answers took."""

    requests: Path
    """TFRecord file of PredictionLog (a request log, or `tf_serving_warmup_requests`), or a model's base path, whose
    newest version's warm-up requests are taken."""
    address: str = "localhost:8500"
    """host:port of the server's gRPC API."""
    model: str = "recommender"
    """Name of the servable that the requests go to."""
    signature: str = "serving_default"
    """Signature whose requests are sent."""
    connections: int = 8
    """Connections of the closed loop: each sends its next request once the last is answered."""
    rate: float = 0.0
    """Requests a second of an open loop, which does not wait for answers; 0 runs the closed loop."""
    seconds: float = 10.0
    """How long requests are sent, after a warm-up of a tenth of that."""
    timeout: float = 5.0
    """Deadline of each call, in seconds."""
    json: bool = False
    """Print the result as one JSON object."""

    def __post_init__(self) -> None:
        """Refuses numbers that no load can have."""
        for name, value in (("connections", self.connections), ("seconds", self.seconds), ("timeout", self.timeout)):
            if value <= 0:
                raise InputError(f"--{name} {value}: expected more than 0")
        if self.rate < 0:
            raise InputError(f"--rate {self.rate}: expected 0 for a closed loop, or more")


def main(arguments: Sequence[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = tyro.cli(BenchArguments, prog="recstack bench-serve", args=list(arguments))
    bench(parsed, Voice("bench-serve", as_json=parsed.json))
    return 0


def bench(arguments: BenchArguments, voice: Voice) -> "Outcome":
    """Sends the load and shows the outcome.

    Raises:
        InputError: there are no such requests.
        CallError: the server cannot be reached or does not have the model.
    """
    from serving.client import RecommenderClient
    from serving.extras.load_generator import PERCENTILES, recorded_requests

    requests = recorded_requests(_file_of(arguments.requests), arguments.model, arguments.signature)
    with RecommenderClient(arguments.address, model=arguments.model) as client:
        client.status()
    _send(arguments, requests, arguments.seconds / 10)
    outcome = _send(arguments, requests, arguments.seconds)
    answered = len(outcome.milliseconds) > 0
    milliseconds = {f"p{share:g}": round(outcome.percentile(share), 3) if answered else None for share in PERCENTILES}
    voice.show(_table(outcome, milliseconds))
    voice.result(
        f"{outcome.answers_per_second:.0f} answers a second, {sum(outcome.errors.values())} errors",
        {
            "answers_per_second": round(outcome.answers_per_second, 1),
            "milliseconds": milliseconds,
            "errors": dict(outcome.errors),
        },
    )
    return outcome


def _file_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    layout = ModelLayout(path)
    versions = layout.versions()
    if not versions:
        raise InputError(f"{path}: no version in it; give a model's base path or a file of PredictionLog records")
    return layout.warmup_requests(versions[-1])


def _send(arguments: BenchArguments, requests: list[bytes], seconds: float) -> "Outcome":
    from serving.extras.load_generator import closed_loop, open_loop

    address, timeout = arguments.address, arguments.timeout
    if arguments.rate:
        return open_loop(address, requests, rate=arguments.rate, seconds=seconds, timeout=timeout)
    return closed_loop(address, requests, connections=arguments.connections, seconds=seconds, timeout=timeout)


def _table(outcome: "Outcome", milliseconds: dict[str, float | None]) -> Table:
    table = Table("answers/s", *(f"{name} ms" for name in milliseconds), "errors")
    errors = ", ".join(f"{count} {code}" for code, count in outcome.errors.items()) or "none"
    table.add_row(f"{outcome.answers_per_second:.1f}", *map(_shown, milliseconds.values()), errors)
    return table


def _shown(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.3f}"
