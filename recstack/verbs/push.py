"""`recstack push`: the published SavedModels to an object store."""

from dataclasses import dataclass

from features.errors import ConfigError
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice


@dataclass(frozen=True, kw_only=True)
class PushArguments(StackArguments):
    """Brings the object store of export.publish-to up to date with saved_models.

    Publication, promotion and rollback do so themselves; this is for a copy that could not be finished.
    """


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(PushArguments, "push", arguments)
    push(parsed.stack, Voice("push", as_json=parsed.json))
    return 0


def push(stack: StackConfig, voice: Voice) -> None:
    """Copies what the store lacks, and says what that was.

    Raises:
        InputError: no store is configured, or it cannot be used.
        RecstackError: the store does not answer.
    """
    from trainer.export.mirror import push_models

    url = stack.export.publish_to
    if not url:
        raise ConfigError(
            "export.publish_to", url, "the URL of a folder in an object store, such as s3://bucket/models"
        )
    changes: list[str] = []

    def note(line: str) -> None:
        changes.append(line)
        voice.progress(line)

    push_models(stack.layout, stack.export, note)
    state = f"{len(changes)} versions copied or removed" if changes else "nothing to do, up to date"
    voice.result(f"{state}: {url}", {"url": url, "changes": changes, "nothing_to_do": not changes})
