"""`recstack push`: published models, the dataset or the current run to an object store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import tyro

from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice
from recstack.remote.transfer import PUSH, Part, Report


@dataclass(frozen=True, kw_only=True)
class PushArguments(StackArguments):
    """Copies published models to export.publish-to, the dataset and the current run to remote.url.

    Publication, promotion and rollback copy the models themselves; `recstack push` finishes a copy that failed.
    """

    parts: tyro.conf.Positional[tuple[Part, ...]] = field(default=("models",))
    """What to copy."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(PushArguments, "push", arguments)
    copy_parts(parsed.stack, parsed.parts, PUSH, Voice("push", as_json=parsed.json))
    return 0


def copy_parts(
    stack: StackConfig,
    parts: tuple[Part, ...],
    table: Mapping[Part, Callable[[StackConfig, Report], None]],
    voice: Voice,
) -> None:
    """Copies the parts by the table's functions, and says what changed.

    Raises:
        InputError: no store is configured, or it cannot be used.
        RecstackError: the store does not answer.
    """
    changes: list[str] = []

    def note(line: str) -> None:
        changes.append(line)
        voice.progress(line)

    for part in dict.fromkeys(parts):
        table[part](stack, note)
    count = "1 change" if len(changes) == 1 else f"{len(changes)} changes"
    state = count if changes else "nothing to do, up to date"
    voice.result(f"{state}: {', '.join(parts)}", {"changes": changes, "nothing_to_do": not changes})
