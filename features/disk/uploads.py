"""Folders that are copied to an object store and back, and that a reader sees whole or not at all.

Object stores cannot rename a folder. So all files are written first, and a listing of their sizes and checksums last. A
folder without its listing, or with a file that is missing or of another size, does not exist for a reader. It is
removed the other way round: first the listing, then the files.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from features.disk.files import staged_directory
from features.disk.object_store import RemoteFolder
from features.errors import InputError, RecstackError

LISTING_NAME = "upload.json"
"""Sizes and checksums of an uploaded folder's files; written last."""

_FORMAT_VERSION = 1
# Whether two folders are the same is decided by all sizes and by the checksums of files up to this size. Every version
# and run has a manifest among these, which differs from that of any other.
_SMALL_BYTES = 2**20
_CHUNK_BYTES = 2**22


class DamagedError(RecstackError):
    """A file in the store has not the content that was uploaded."""


@dataclass(frozen=True)
class UploadedFile:
    """One file of a folder."""

    size: int
    """Bytes."""
    sha256: str
    """Checksum in hexadecimal digits."""


Listing = Mapping[str, UploadedFile]
"""The files of a folder by their relative names."""


def upload(source: Path, target: RemoteFolder, *, replaces: bool = False) -> bool:
    """Copies a finished local folder to the store, and finishes a copy that was interrupted.

    Args:
        source: The folder, which no other process changes meanwhile.
        target: Where it is to lie.
        replaces: Whether a finished folder of another content is replaced; meanwhile readers find none. Files that it
            shares with the new one are not copied again.

    Returns:
        Whether anything was copied; not if the store has the whole folder already.

    Raises:
        InputError: The store has another finished folder of that name, and `replaces` is false.
        RecstackError: The store does not answer.
    """
    present = target.sizes()
    known = complete_listing(target, present)
    if known is not None and is_same(source, known):
        return False
    if known is not None and not replaces:
        raise InputError(
            f"{target.url}: holds something else than {source}; choose another URL, or remove the one that is wrong"
        )
    listing = {name: UploadedFile(size, _checksum(source / name)) for name, size in _files(source).items()}
    kept = {name for name, file in (known or {}).items() if listing.get(name) == file}
    # A listing that stays would make the folder complete before its last file is there.
    target.remove([LISTING_NAME, *(name for name in present if name not in listing and name != LISTING_NAME)])
    target.upload([name for name in listing if name not in kept], source)
    target.write(LISTING_NAME, _to_json(listing))
    return True


def complete_listing(folder: RemoteFolder, present: Mapping[str, int] | None = None) -> Listing | None:
    """The files of a folder in the store; None if it is not there, or not complete.

    Args:
        folder: The folder.
        present: Sizes of what lies there, if they are known already.

    Raises:
        RecstackError: The store does not answer.
    """
    sizes = folder.sizes() if present is None else present
    if LISTING_NAME not in sizes:
        return None
    try:
        listing = _from_json(folder.read(LISTING_NAME))
    except FileNotFoundError:  # removed at this moment
        return None
    is_whole = listing is not None and all(sizes.get(name) == file.size for name, file in listing.items())
    return listing if is_whole else None


def download(folder: RemoteFolder, listing: Listing, target: Path) -> None:
    """Copies a complete folder from the store; `target` appears whole or not at all, its checksums verified.

    An existing `target` is replaced.

    Raises:
        InputError: The disk has not enough room, or `target` cannot be written.
        DamagedError: A file is damaged.
        RecstackError: The folder was removed while it was read, or the store does not answer.
    """
    wanted = sum(file.size for file in listing.values())
    with staged_directory(target) as staging:
        free = shutil.disk_usage(staging).free
        if free < wanted:
            raise InputError(f"{target}: {wanted:,} bytes needed for {folder.url}, {free:,} free; make room there")
        try:
            folder.download(listing, staging)
        except FileNotFoundError as error:
            raise RecstackError(f"{folder.url}: was removed while it was read") from error
        for name, file in listing.items():
            if _checksum(staging / name) != file.sha256:
                raise DamagedError(
                    f"{folder.url}/{name}: damaged, its checksum is not that of the upload; upload it again"
                )
        (staging / LISTING_NAME).write_bytes(_to_json(listing))


def downloaded_listing(directory: Path) -> Listing | None:
    """The listing of a folder that `download` wrote; None if something else is there, or nothing."""
    try:
        return _from_json((directory / LISTING_NAME).read_bytes())
    except OSError:
        return None


def remove(folder: RemoteFolder) -> None:
    """Removes a folder from the store, complete or not; readers never see a part of it."""
    names = list(folder.sizes())
    folder.remove([name for name in names if name == LISTING_NAME])
    folder.remove([name for name in names if name != LISTING_NAME])


def folders_in(sizes: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """What lies in each folder of a folder in the store, complete or not, by the folder's name.

    Args:
        sizes: From `RemoteFolder.sizes`.
    """
    found: dict[str, dict[str, int]] = {}
    for path, size in sizes.items():
        name, slash, inside = path.partition("/")
        if slash:
            found.setdefault(name, {})[inside] = size
    return found


def is_same(source: Path, listing: Listing) -> bool:
    """Whether a local folder holds what a listing says, judged by all sizes and by the checksums of small files."""
    small = [name for name, file in listing.items() if file.size <= _SMALL_BYTES]
    is_alike = _files(source) == {name: file.size for name, file in listing.items()}
    return is_alike and all(_checksum(source / name) == listing[name].sha256 for name in small)


def _files(source: Path) -> dict[str, int]:
    """Sizes by relative name; what was downloaded keeps its listing to itself."""
    paths = [path for path in sorted(source.rglob("*")) if path.is_file()]
    sizes = {path.relative_to(source).as_posix(): path.stat().st_size for path in paths}
    sizes.pop(LISTING_NAME, None)
    return sizes


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _to_json(listing: Listing) -> bytes:
    files = {name: {"size": file.size, "sha256": file.sha256} for name, file in listing.items()}
    return json.dumps({"format_version": _FORMAT_VERSION, "files": files}, indent=1, sort_keys=True).encode()


def _from_json(content: bytes) -> Listing | None:
    """The listing; None if it is damaged or of another format version."""
    try:
        data = json.loads(content)
        if data["format_version"] != _FORMAT_VERSION:
            return None
        files = {
            str(name): UploadedFile(int(file["size"]), str(file["sha256"])) for name, file in data["files"].items()
        }
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return None
    # A name that leads out of the folder would be written elsewhere on this machine.
    is_inside = all(".." not in Path(name).parts and not Path(name).is_absolute() for name in files)
    return files if is_inside else None
