"""The dataset, the current run and the published models on other machines, by way of an object store.

    <remote.url>/dataset/…       complete once its `upload.json` is there (`features.disk.uploads`)
    <remote.url>/runs/<id>/…     the same
    <remote.url>/runs/current    the id of the run that was pushed last

Work itself stays on a file system: checkpoints, the mapped files of streamed training and the locks between processes
need one.
"""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from features.disk.files import exclusive, in_use, make_directory, write_bytes_atomically, write_text_atomically
from features.disk.layout import is_run_id
from features.disk.object_store import RemoteFolder, open_folder
from features.disk.uploads import complete_listing, download, folders_in, is_same, upload
from features.errors import ConfigError, InputError
from recstack.config import StackConfig

Part: TypeAlias = Literal["models", "dataset", "run"]
Report: TypeAlias = Callable[[str], None]

_EXAMPLES = {"remote.url": "s3://bucket/shop", "export.publish_to": "s3://bucket/models"}


def push_models(stack: StackConfig, report: Report) -> None:
    """Copies what the store of `export.publish_to` lacks of the published models.

    Raises:
        InputError: no store is configured, or it cannot be used.
        RecstackError: the store does not answer.
    """
    from trainer.export import mirror

    _url("export.publish_to", stack.export.publish_to)
    mirror.push_models(stack.layout, stack.export, report)


def push_dataset(stack: StackConfig, report: Report) -> None:
    """Copies the dataset; one that was there before is replaced.

    Raises:
        InputError: there is no dataset, or another process prepares one.
        RecstackError: the store does not answer.
    """
    target = _store(stack).below("dataset")
    stack.require_dataset()
    with in_use(stack.workdir):
        if upload(stack.layout.dataset.root, target, replaces=True):
            report(f"{target.url}: copied from {stack.layout.dataset.root}")


def push_run(stack: StackConfig, report: Report) -> None:
    """Copies the current run, which is the one that `pull_run` takes from then on.

    Raises:
        InputError: no run is finished, or a stage of it is being trained.
        RecstackError: the store does not answer.
    """
    store, run = _store(stack), stack.layout.current_run
    target = store.below(f"runs/{run.id}")
    with contextlib.ExitStack() as held:
        for directory in (run.root, *(path for path in run.root.iterdir() if path.is_dir())):
            held.enter_context(in_use(directory))
        if upload(run.root, target, replaces=True):
            report(f"{target.url}: copied from {run.root}")
    store.write("runs/current", f"{run.id}\n".encode())


def pull_models(stack: StackConfig, report: Report) -> None:
    """Copies the versions that `saved_models` lacks, and lets the label `stable` name what it names in the store.

    Raises:
        InputError: a version of the same number and another content is here.
        RecstackError: the store does not answer.
    """
    from trainer.export.server_files import write_server_files

    store, layout = open_folder(_url("export.publish_to", stack.export.publish_to)), stack.layout
    with exclusive(layout.server_file("models").parent, "recstack pull", wait=True):
        for model in stack.export.models:
            versions = [name for name in folders_in(store.below(model).sizes()) if name.isdecimal()]
            for number in sorted(versions, key=int):
                _take(store.below(f"{model}/{number}"), layout.model(model).version(int(number)), report)
        with contextlib.suppress(FileNotFoundError):
            write_bytes_atomically(layout.stable_file, store.read(layout.stable_file.name))
        if all(layout.model(model).current for model in stack.export.models):
            write_server_files(layout, stack.export)


def pull_dataset(stack: StackConfig, report: Report) -> None:
    """Copies the store's dataset into the work directory, in place of the one that is there.

    Raises:
        InputError: the store has no complete dataset, or another process prepares one here.
        RecstackError: the store does not answer.
    """
    source = _store(stack).below("dataset")
    with exclusive(stack.workdir, "recstack pull"):
        _take(source, stack.layout.dataset.root, report, replaces=True, command="recstack push dataset")


def pull_run(stack: StackConfig, report: Report) -> None:
    """Copies the run that was pushed last, and makes it the current one.

    Raises:
        InputError: the store has no complete run, or the run is in use here.
        RecstackError: the store does not answer.
    """
    store, runs = _store(stack), stack.layout.runs
    try:
        run = runs.run(store.read("runs/current").decode("utf-8").strip())
    except (FileNotFoundError, UnicodeDecodeError):
        raise InputError(f"{store.url}/runs: no run found; run `recstack push run` where it was trained") from None
    if not is_run_id(run.id):
        raise InputError(f"{store.url}/runs/current: the id of a run expected, {run.id!r} found; push the run again")
    with exclusive(runs.root, "recstack pull", wait=True):
        with exclusive(run.root, "recstack pull") if run.root.is_dir() else contextlib.nullcontext():
            _take(store.below(f"runs/{run.id}"), run.root, report, replaces=True, command="recstack push run")
        write_text_atomically(runs.current_file, f"{run.id}\n")


PUSH: Mapping[Part, Callable[[StackConfig, Report], None]] = {
    "models": push_models,
    "dataset": push_dataset,
    "run": push_run,
}
PULL: Mapping[Part, Callable[[StackConfig, Report], None]] = {
    "models": pull_models,
    "dataset": pull_dataset,
    "run": pull_run,
}


def _take(source: RemoteFolder, target: Path, report: Report, *, replaces: bool = False, command: str = "") -> None:
    """Copies a complete folder; an incomplete one is left alone, or refused if a command that mends it is given."""
    listing = complete_listing(source)
    if listing is None:
        if command:
            raise InputError(f"{source.url}: nothing complete is there; run `{command}` on the machine that has it")
        return
    if target.is_dir() and is_same(target, listing):
        return
    if target.is_dir() and not replaces:
        raise InputError(
            f"{target}: differs from {source.url}; choose another workdir, or remove the one that is wrong"
        )
    make_directory(target.parent)
    download(source, listing, target)
    report(f"{target}: copied from {source.url}")


def _store(stack: StackConfig) -> RemoteFolder:
    return open_folder(_url("remote.url", stack.remote.url))


def _url(field: str, url: str) -> str:
    if not url:
        raise ConfigError(field, url, f"the URL of a folder in an object store, such as {_EXAMPLES[field]}")
    return url
