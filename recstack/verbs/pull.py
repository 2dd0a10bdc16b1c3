"""`recstack pull`: published models, a dataset or a run from an object store."""

from dataclasses import dataclass, field

import tyro

from recstack.arguments import StackArguments, parse
from recstack.console import Voice
from recstack.remote.transfer import PULL, Part
from recstack.verbs.push import copy_parts


@dataclass(frozen=True, kw_only=True)
class PullArguments(StackArguments):
    """Copies from object stores into the work directory what `recstack push` or a publication brought there.

    A dataset replaces the one that is here; a run becomes the current one; of models, missing versions are added.
    """

    parts: tyro.conf.Positional[tuple[Part, ...]] = field(default=("models",))
    """What to copy."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(PullArguments, "pull", arguments)
    copy_parts(parsed.stack, parsed.parts, PULL, Voice("pull", as_json=parsed.json))
    return 0
