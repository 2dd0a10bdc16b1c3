"""Watches a canary on its servers' metrics pages, then promotes it or takes it back."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from features.disk.layout import ModelName
from features.errors import InputError, RecstackError
from recstack import stages
from recstack.config import StackConfig
from recstack.retraining.config import CanaryConfig
from recstack.retraining.release import canaries, canary_versions, promote
from recstack.retraining.rollback import roll_back_models
from recstack.retraining.traffic import Traffic, read_page

# A server that restarts is back by then.
_SILENT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Addresses of metrics pages."""

    canary: tuple[str, ...]
    """Of the servers that answer from the canary."""
    stable: tuple[str, ...] = ()
    """Of those that answer from the stable version, if they are others."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What both versions of a model did in the same time."""

    canary: Traffic
    stable: Traffic


@dataclass(frozen=True, kw_only=True)
class Watched:
    """How a watch ended."""

    outcome: Literal["promoted", "rolled back"]
    reason: str
    """What was measured."""
    versions: Mapping[ModelName, int]
    """The version of each model that is stable now."""


def watch_canary(
    stack: StackConfig,
    pages: Pages,
    seconds: float,
    report: Callable[[str], None] = stages.silent,
    *,
    pause: float = 5.0,
) -> Watched:
    """Compares the canary with the stable version while both answer; takes it back as soon as it leaves its band.

    Args:
        stack: workdir and `[retrain.canary]`.
        pages: where the requests are counted.
        seconds: the canary is promoted if it is within its band after so long.
        report: told in one line what is being done.
        pause: seconds between two looks at the pages.

    Raises:
        InputError: there is no canary, or a server does not tell versions apart and counts both.
        RecstackError: the servers do not answer, the canary had too few requests to be judged, or another version was
            published meanwhile. Labels stay as they are.
    """
    stable = canaries(stack)
    if not stable:
        raise InputError(
            f"{stack.layout.saved_models}: no canary found; run `recstack retrain` with publication canary"
        )
    canary = {model: canary_versions(stack)[model] for model in stable}
    counted = _Counters(pages, stable, canary)
    before = counted.look()
    report(f"watching {_names(canary)} beside {_names(stable)} for {seconds / 60:.3g} minutes")
    deadline, answered = time.monotonic() + seconds, time.monotonic()
    seen: dict[ModelName, Beside] = {}
    while True:
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        try:
            seen, answered = counted.since(before), time.monotonic()
        except RecstackError as error:
            if time.monotonic() - answered > _SILENT_SECONDS or time.monotonic() >= deadline:
                raise
            report(str(error))
        _require_unchanged(stack, canary)
        if reason := "; ".join(_faults(seen, stack.retrain.canary)):
            rolled = roll_back_models(stack, tuple(canary), reason=reason, report=report)
            return Watched(
                outcome="rolled back", reason=reason, versions={m: back.stable for m, back in rolled.items()}
            )
        if time.monotonic() >= deadline:
            reason = _judged(seen, stack.retrain.canary)
            promote(stack, report)
            return Watched(outcome="promoted", reason=reason, versions=canary)


def _names(versions: Mapping[ModelName, int]) -> str:
    return ", ".join(f"{model} {version}" for model, version in versions.items())


def _require_unchanged(stack: StackConfig, canary: Mapping[ModelName, int]) -> None:
    now = canary_versions(stack)
    if canaries(stack).keys() != canary.keys() or any(now[model] != version for model, version in canary.items()):
        raise RecstackError(f"watching {_names(canary)}: versions or labels were changed meanwhile; watch again")


class _Counters:
    """Reads the traffic of both versions of each model."""

    def __init__(self, pages: Pages, stable: Mapping[ModelName, int], canary: Mapping[ModelName, int]) -> None:
        self._pages, self._stable, self._canary = pages, stable, canary

    def look(self) -> dict[tuple[str, ModelName, bool], Traffic]:
        """Counters by page, by model, and by whether they are the canary's.

        Raises:
            InputError: a page that counts both versions does not tell them apart.
            RecstackError: a page cannot be read.
        """
        canary, stable = self._pages.canary, self._pages.stable or self._pages.canary
        pages = {url: read_page(url) for url in dict.fromkeys((*canary, *stable))}
        found: dict[tuple[str, ModelName, bool], Traffic] = {}
        for is_canary, urls, versions in ((True, canary, self._canary), (False, stable, self._stable)):
            for page in map(pages.__getitem__, urls):
                if not page.tells_versions and not self._pages.stable:
                    raise InputError(
                        f"metrics page {page.url}: counts no versions; expected that of `recstack serve`, or a server "
                        "for the canary alone and --stable-page for the other one's"
                    )
                for model, version in versions.items():
                    found[page.url, model, is_canary] = page.traffic(model, version if page.tells_versions else None)
        return found

    def since(self, before: Mapping[tuple[str, ModelName, bool], Traffic]) -> dict[ModelName, Beside]:
        """What each model's two versions did since an earlier look, over all pages."""
        now = {key: counters.since(before[key]) for key, counters in self.look().items()}
        return {
            model: Beside(canary=_total(now, model, True), stable=_total(now, model, False)) for model in self._canary
        }


def _total(counters: Mapping[tuple[str, ModelName, bool], Traffic], model: ModelName, is_canary: bool) -> Traffic:
    chosen = [each for (_, name, of_canary), each in counters.items() if (name, of_canary) == (model, is_canary)]
    return Traffic(
        requests=sum(each.requests for each in chosen),
        errors=sum(each.errors for each in chosen),
        timed=sum(each.timed for each in chosen),
        microseconds=sum(each.microseconds for each in chosen),
    )


def _faults(seen: Mapping[ModelName, Beside], band: CanaryConfig) -> Iterator[str]:
    """How models left their band, as far as they had requests enough to say so."""
    for model, beside in seen.items():
        canary, stable = beside.canary, beside.stable
        if canary.requests < band.smallest_requests:
            continue
        if canary.error_rate > stable.error_rate + band.largest_errors:
            yield (
                f"{model}: {canary.error_rate:.2%} of the canary's {canary.requests:,.0f} requests failed, beside "
                f"{stable.error_rate:.2%} of the stable version's, at most {band.largest_errors:.2%} more allowed"
            )
        if stable.timed >= band.smallest_requests and canary.milliseconds > band.largest_latency * stable.milliseconds:
            yield (
                f"{model}: the canary took {canary.milliseconds:.3g} ms a request, beside {stable.milliseconds:.3g} ms "
                f"of the stable version, at most {band.largest_latency:g} times as long allowed"
            )


def _judged(seen: Mapping[ModelName, Beside], band: CanaryConfig) -> str:
    """What the models did that answered requests enough.

    Raises:
        RecstackError: none did, be it that there were too few or that all failed, as with the stable version.
    """
    judged = {model: beside for model, beside in seen.items() if beside.canary.timed >= band.smallest_requests}
    if not judged:
        most = max((beside.canary.timed for beside in seen.values()), default=0.0)
        raise RecstackError(
            f"the canary answered {most:,.0f} requests, at least retrain.canary.smallest_requests = "
            f"{band.smallest_requests} expected; labels stay: watch longer, or send it more"
        )
    return "; ".join(
        f"{model}: {beside.canary.requests:,.0f} requests to the canary, {beside.canary.error_rate:.2%} failed, "
        f"{beside.canary.milliseconds:.3g} ms each, beside {beside.stable.error_rate:.2%} and "
        f"{beside.stable.milliseconds:.3g} ms"
        for model, beside in judged.items()
    )
