"""The gate's decision on disk: what was judged, each check, and whether the models may be published."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from features.disk.files import write_text_atomically
from features.errors import RecstackError
from features.serialization import structure, unstructure
from recstack.retraining.gate.check import Check


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the gate measured of staged models beside live ones."""

    inputs: Mapping[str, str]
    """Fingerprints of the staged models, by name, and of the settings."""
    live: Mapping[str, str]
    """Fingerprints of the live models that they were compared with; empty for a first model."""
    queries: int
    """Queries that the models were asked."""
    checks: tuple[Check, ...]
    """Each measured value with its threshold."""

    @property
    def refused_by(self) -> tuple[str, ...]:
        """The rules with a check that did not pass."""
        return tuple(dict.fromkeys(check.rule for check in self.checks if not check.passed))

    def still_holds(self, inputs: Mapping[str, str], live: Mapping[str, str]) -> bool:
        """Whether a decision about these inputs would be this one.

        Args:
            inputs: as the field.
            live: as the field, now; a model that has been published since it was judged does not matter.
        """
        models = self.live.keys() | live.keys()
        same = all(live.get(model) in (self.live.get(model), inputs.get(model)) for model in models)
        return dict(self.inputs) == dict(inputs) and same

    def write(self, path: Path) -> None:
        """Writes `gate.json`, with a verdict beside each check for those who read it."""
        content = unstructure(self)
        for check, entry in zip(self.checks, content["checks"], strict=True):
            entry["verdict"] = check.verdict
        write_text_atomically(path, json.dumps(content | {"refused_by": list(self.refused_by)}, indent=1) + "\n")


def read_decision(path: Path) -> Decision | None:
    """The decision in a file; None if there is none or it is damaged, so that the gate judges again."""
    try:
        content = json.loads(path.read_text("utf-8"))
        for entry in content["checks"]:
            del entry["verdict"]
        del content["refused_by"]
        return structure(content, Decision, path.name)
    except (OSError, ValueError, LookupError, TypeError, RecstackError):
        return None
