"""The latency of staged models, measured through a server of them alone."""

from collections.abc import Callable, Mapping

from features.disk.layout import ModelName, Workdir
from recstack.local_server import local_server
from recstack.retraining.config import BudgetsRule
from serving.extras.load_generator import closed_loop, recorded_requests

_SECONDS_OF_WARM_UP = 0.2
_TIMEOUT_SECONDS = 30.0
# The signature that a server's latency is measured by; that of the lists where there is one.
_TIMED: Mapping[ModelName, str] = {"retrieval": "retrieve", "retrieval_exact": "retrieve"}


def latencies(
    staged: Workdir, versions: Mapping[ModelName, int], budgets: BudgetsRule, progress: Callable[[str], None]
) -> dict[ModelName, float]:
    """The 99th percentile of each model's latency in milliseconds, one query after the other; none if not wanted.

    Args:
        staged: holds the staged models and their model configuration.
        versions: of each model.
        budgets: says how long each model is asked.
        progress: told in one line what is being done.

    Raises:
        RecstackError: the server does not start.
    """
    if not budgets.enabled or budgets.seconds == 0:
        return {}
    progress("asking a server of the staged models")
    measured: dict[ModelName, float] = {}
    flags = [f"--model_config_file={staged.model_config.resolve()}"]
    with local_server(flags, staged.root / "server.log") as address:
        for model, version in versions.items():
            recorded = staged.model(model).warmup_requests(version)
            requests = recorded_requests(recorded, model, _TIMED.get(model, "serving_default"))
            smallest = [min(requests, key=len)]  # the warm-up request with one query
            for seconds in (_SECONDS_OF_WARM_UP, budgets.seconds):
                outcome = closed_loop(address, smallest, connections=1, seconds=seconds, timeout=_TIMEOUT_SECONDS)
            measured[model] = outcome.percentile(99.0)
    return measured
