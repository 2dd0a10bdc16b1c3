"""The published models in an object store: a copy of `saved_models` that servers elsewhere read.

Publication, labels, rollback and the removal of old versions happen in the local folder. Then the copy is brought up to
date, each version whole or not at all (`features.disk.uploads`). A killed process leaves at most one incomplete
version, which readers ignore and the next call finishes or removes.
"""

import uuid
from collections.abc import Callable
from pathlib import PurePosixPath

from features.disk.exported import ModelLayout
from features.disk.files import exclusive, write_text_atomically
from features.disk.layout import Workdir
from features.disk.object_store import RemoteFolder, open_folder
from features.disk.uploads import complete_listing, folders_in, is_same, remove, upload
from features.errors import InputError, RecstackError
from trainer.config.export import ExportConfig
from trainer.export.server_files import server_texts, write_server_files


def settle_models(workdir: Workdir, export: ExportConfig, progress: Callable[[str], None]) -> None:
    """What follows each change of the published models: the servers' files, and the copy in the store.

    Raises:
        RecstackError: The store could not be brought up to date; the local folder is.
    """
    write_server_files(workdir, export)
    try:
        push_models(workdir, export, progress)
    except RecstackError as error:
        raise type(error)(
            f"{error}. {workdir.saved_models} is complete; run `recstack push` once the store works again"
        ) from error


def push_models(workdir: Workdir, export: ExportConfig, progress: Callable[[str], None]) -> None:
    """Copies what `export.publish_to` lacks, removes what is gone here; does nothing if no store is configured.

    Versions are complete before the servers' files name them.

    Raises:
        InputError: The store holds versions of another work directory, or does not let us in.
        RecstackError: The store does not answer.
    """
    if not export.publish_to:
        return
    store = open_folder(export.publish_to)
    with exclusive(workdir.server_file("models").parent, "recstack push", wait=True):
        check_store(workdir, export)
        if any(workdir.model(model).current is None for model in export.models):
            return  # the first publication is still to come, and files for servers with it
        _claim(workdir, store)
        for model in export.models:
            _push_versions(workdir.model(model), store.below(model), progress)
        for name, text in _shared_files(workdir, export).items():
            store.write(name, text.encode("utf-8"))
        for model in export.models:
            _remove_former(workdir.model(model), store.below(model), progress)


def check_store(workdir: Workdir, export: ExportConfig) -> None:
    """Refuses a store that cannot be used, before hours of work are spent; does nothing if none is configured.

    Raises:
        InputError: The store holds versions that this work directory did not publish, or does not let us in.
        RecstackError: The store does not answer.
    """
    if not export.publish_to:
        return
    store = open_folder(export.publish_to)
    is_claimed = _is_claimed(workdir, store)
    for model in export.models:
        local, remote = workdir.model(model), store.below(model)
        newest = local.current or 0
        for number in _numbers(remote):
            is_here = local.version(number).is_dir()
            if number > newest or not (_is_alike(local, number, remote) if is_here else is_claimed):
                raise InputError(
                    f"export.publish_to: {remote.url}/{number} was not published from {local.base}; choose another URL "
                    "for this work directory, or bring the store's versions into it by `recstack pull`"
                )


def _is_claimed(workdir: Workdir, store: RemoteFolder) -> bool:
    """Whether the store was filled from this work directory, which then removed the versions that it lacks."""
    try:
        return store.read(workdir.store_id_file.name) == workdir.store_id_file.read_bytes()
    except FileNotFoundError:
        return False


def _claim(workdir: Workdir, store: RemoteFolder) -> None:
    """Marks the store as filled from this work directory, before its first version is."""
    if _is_claimed(workdir, store):
        return
    if not workdir.store_id_file.exists():
        write_text_atomically(workdir.store_id_file, uuid.uuid4().hex)
    store.write(workdir.store_id_file.name, workdir.store_id_file.read_bytes())


def _is_alike(local: ModelLayout, number: int, remote: RemoteFolder) -> bool:
    """Whether a version in the store is the local one, or incomplete."""
    listing = complete_listing(remote.below(str(number)))
    return listing is None or is_same(local.version(number), listing)


def _push_versions(local: ModelLayout, remote: RemoteFolder, progress: Callable[[str], None]) -> None:
    for number in local.versions():
        target = remote.below(str(number))
        if upload(local.version(number), target):
            progress(f"{target.url}: version {number} copied")


def _remove_former(local: ModelLayout, remote: RemoteFolder, progress: Callable[[str], None]) -> None:
    for number in sorted(set(_numbers(remote)) - set(local.versions())):
        remove(remote.below(str(number)))
        progress(f"{remote.url}/{number}: removed, as it is gone from {local.base}")


def _numbers(remote: RemoteFolder) -> list[int]:
    """Numbers of all versions in the store, complete or not."""
    return [int(name) for name in folders_in(remote.sizes()) if name.isdecimal() and str(int(name)) == name]


def _shared_files(workdir: Workdir, export: ExportConfig) -> dict[str, str]:
    """Files for servers of the store's models, by name."""
    base = workdir.saved_models
    texts = {workdir.server_file(name): text for name, text in server_texts(workdir, export, export.publish_to).items()}
    if workdir.stable_file.exists():
        texts[workdir.stable_file] = workdir.stable_file.read_text("utf-8")
    texts[workdir.model_config] = texts[workdir.server_file("models")]
    return {str(PurePosixPath(path.relative_to(base))): text for path, text in texts.items()}
