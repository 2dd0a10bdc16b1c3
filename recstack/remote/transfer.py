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
from features.disk.layout import RunLayout, is_run_id
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
        InputError: no store is configured, it cannot be used, or a model is not published yet.
        RecstackError: the store does not answer.
    """
    from trainer.export import mirror

    _url("export.publish_to", stack.export.publish_to)
    mirror.push_models(stack.layout, stack.export, report)
    missing = [model for model in stack.export.models if stack.layout.model(model).current is None]
    if missing:
        raise InputError(
            f"{stack.layout.saved_models}: no version of {', '.join(missing)} is published yet; run `recstack export`"
        )


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
        for directory in _folders_of(run):
            held.enter_context(in_use(directory))
        if upload(run.root, target, replaces=True):
            report(f"{target.url}: copied from {run.root}")
    if _pushed_run(store) != run.id:
        store.write("runs/current", f"{run.id}\n".encode())
        report(f"{store.url}/runs/current: names {run.id}")


def pull_models(stack: StackConfig, report: Report) -> None:
    """Copies the versions that `saved_models` lacks, and lets the label `stable` name what it names in the store.

    From then on the versions that are removed here are removed in the store as well.

    Raises:
        InputError: a version of the same number and another content is here.
        RecstackError: the store does not answer.
    """
    from trainer.export.server_files import write_server_files

    store, layout = open_folder(_url("export.publish_to", stack.export.publish_to)), stack.layout
    with exclusive(layout.server_file("models").parent, "recstack pull", wait=True):
        for model in stack.export.models:
            versions = [
                name for name in folders_in(store.below(model).sizes()) if name.isdecimal() and str(int(name)) == name
            ]
            for number in sorted(versions, key=int):
                _take(store.below(f"{model}/{number}"), layout.model(model).version(int(number)), report)
        for path in (layout.stable_file, layout.store_id_file):
            with contextlib.suppress(FileNotFoundError):
                _take_file(store, path, report)
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
    pushed = _pushed_run(store)
    if not pushed:
        raise InputError(f"{store.url}/runs: no run found; run `recstack push run` where it was trained")
    if not is_run_id(pushed):
        raise InputError(f"{store.url}/runs/current: the id of a run expected, {pushed!r} found; push the run again")
    run = runs.run(pushed)
    with exclusive(runs.root, "recstack pull", wait=True):
        with contextlib.ExitStack() as held:
            for directory in _folders_of(run):
                held.enter_context(exclusive(directory, "recstack"))
            _take(store.below(f"runs/{run.id}"), run.root, report, replaces=True, command="recstack push run")
        if runs.current != run:
            write_text_atomically(runs.current_file, f"{run.id}\n")
            report(f"{runs.current_file}: names {run.id}")


def _folders_of(run: RunLayout) -> list[Path]:
    """The folders that training and evaluation lock: the run and its stages; none if there is no such run."""
    return [run.root, *(path for path in run.root.iterdir() if path.is_dir())] if run.root.is_dir() else []


def _pushed_run(store: RemoteFolder) -> str:
    """The id of the run that was pushed last; empty if there is none."""
    try:
        return store.read("runs/current").decode("utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""


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


def _take_file(store: RemoteFolder, target: Path, report: Report) -> None:
    """Copies a file that is missing here, or differs.

    Raises:
        FileNotFoundError: the store has none.
    """
    content = store.read(target.name)
    if not target.exists() or target.read_bytes() != content:
        write_bytes_atomically(target, content)
        report(f"{target}: copied from {store.url}")


def _store(stack: StackConfig) -> RemoteFolder:
    return open_folder(_url("remote.url", stack.remote.url))


def _url(field: str, url: str) -> str:
    if not url:
        raise ConfigError(field, url, f"the URL of a folder in an object store, such as {_EXAMPLES[field]}")
    return url
