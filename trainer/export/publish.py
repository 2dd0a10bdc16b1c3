"""Publication: a SavedModel appears under the next version number, whole or not at all."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from features.disk.files import make_directory, remove_leftovers, sync_directory, sync_tree, temporary_sibling
from features.disk.layout import ModelLayout

# A name that no server takes for a version, and that `remove_leftovers` knows.
_STAGING_NAME = "publication"


@contextlib.contextmanager
def publication(model: ModelLayout) -> Iterator["Publication"]:
    """A directory to save a model into; what is there when the block ends well becomes the next version.

        with publication(layout) as new:
            tf.saved_model.save(module, str(new.staging))
        new.version

    A failure, a full disk or a kill leaves the published versions as they were.

    Raises:
        InputError: the base path cannot be made or written.
    """
    make_directory(model.base)
    remove_leftovers(model.base / _STAGING_NAME)
    staging = temporary_sibling(model.base / _STAGING_NAME)
    staging.mkdir()
    new = Publication(model, staging)
    try:
        yield new
        sync_tree(staging)
        new.publish()
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


class Publication:
    """One version on its way."""

    def __init__(self, model: ModelLayout, staging: Path) -> None:
        """Publishes what `staging` holds below the base path of `model`."""
        self._model = model
        self.staging = staging
        self.version = 0

    def publish(self) -> None:
        """Renames the directory to the next free version; of two exporters at once, each gets its own."""
        while not self.version:
            candidate = max(self._model.versions(), default=0) + 1
            try:
                self.staging.rename(self._model.version(candidate))
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                self.version = candidate
        sync_directory(self._model.base)


def link_or_copy(source: str, target: str) -> None:
    """Gives a file a second name, or copies it; published files never change."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


def remove_old_versions(model: ModelLayout, keep: int) -> list[int]:
    """Removes all but the newest `keep` versions; returns the removed ones.

    A version is renamed first, so that a server sees it whole or not at all.
    """
    removed = []
    for version in model.versions()[:-keep]:
        doomed = temporary_sibling(model.base / _STAGING_NAME)
        try:
            model.version(version).rename(doomed)
        except FileNotFoundError:  # another exporter was quicker
            continue
        shutil.rmtree(doomed)
        removed.append(version)
    return removed
