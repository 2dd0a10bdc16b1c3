"""Staging and publishing: a version is built in a hidden directory, then renamed to the next version number."""

import contextlib
import errno
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from features.disk.exported import ExtraLayout, ModelLayout
from features.disk.files import (
    link_tree,
    make_directory,
    remove_leftovers,
    sync_directory,
    sync_tree,
    temporary_sibling,
)

# Servers do not read it as a version number, and `remove_leftovers` recognises it.
_STAGING_NAME = "publication"


@dataclass(frozen=True)
class StagedVersion:
    """A version in its staging directory, which no server sees until `publish` renames it."""

    model: ModelLayout
    directory: Path

    @property
    def extra(self) -> ExtraLayout:
        """The files beside the SavedModel."""
        return ExtraLayout.of_version(self.directory)


@contextlib.contextmanager
def staging(model: ModelLayout) -> Iterator[StagedVersion]:
    """Makes a staging directory to build a version in; it is on disk when the block ends, and removed if it fails.

        >>> with staging(ModelLayout(Path("saved_models/retrieval"))) as staged:
        ...     (staged.directory / "saved_model.pb").touch()  # or tf.saved_model.save(module, str(staged.directory))
        >>> publish(staged)
        1

    What exporters that were killed left behind is removed first.

    Raises:
        InputError: The model's base path cannot be created or written.
    """
    make_directory(model.base)
    remove_leftovers(model.base / _STAGING_NAME)
    staged = StagedVersion(model, temporary_sibling(model.base / _STAGING_NAME))
    staged.directory.mkdir()
    try:
        yield staged
        sync_tree(staged.directory)
    except BaseException:
        discard(staged)
        raise


def publish(staged: StagedVersion) -> int:
    """Renames a staged version to the next free version number; concurrent exporters each get their own.

    Returns:
        The version number.
    """
    while True:
        version = max(staged.model.versions(), default=0) + 1
        try:
            staged.directory.rename(staged.model.version(version))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                discard(staged)
                raise
        else:
            sync_directory(staged.model.base)
            return version


def stage_copy(source: Path, model: ModelLayout) -> StagedVersion:
    """Stages a copy of a complete version that lies elsewhere; its files are linked where the file system allows it.

    Args:
        source: The version's directory, which stays.
        model: Where it is to be published.

    Raises:
        InputError: The model's base path cannot be created or written.
    """
    with staging(model) as staged:
        for path in source.iterdir():
            link_tree(path, staged.directory / path.name)
    return staged


def discard(staged: StagedVersion) -> None:
    """Removes a staged version that is not to be published."""
    shutil.rmtree(staged.directory, ignore_errors=True)


def remove_old_versions(model: ModelLayout, keep: int, spared: Collection[int] = ()) -> list[int]:
    """Removes all but the newest `keep` versions and those that are spared; returns the removed ones.

    Each version is renamed before it is deleted, so that a server sees it whole or not at all.
    """
    removed = []
    for version in (number for number in model.versions()[:-keep] if number not in spared):
        doomed = temporary_sibling(model.base / _STAGING_NAME)
        try:
            model.version(version).rename(doomed)
        except FileNotFoundError:  # another exporter was faster
            continue
        shutil.rmtree(doomed)
        removed.append(version)
    return removed
