"""What text formats have in common: a file is one unit, and its bytes must be text."""

from collections.abc import Iterator

from beam_pipelines.sources.contract import ReadUnit, SourceFile
from beam_pipelines.sources.opening import open_stream, require_readable
from beam_pipelines.sources.tables import Table
from features.errors import InputError

_HEAD_BYTES = 1 << 12
# Spreadsheets and archives, UTF-16, gzip, Parquet, older spreadsheets.
_OTHER_THAN_TEXT = (b"PK\x03\x04", b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", b"PAR1", b"\xd0\xcf\x11\xe0")


def whole_file(table: Table, file: SourceFile, format: str) -> Iterator[ReadUnit]:
    """One unit for the file; a compressed text has no other place to begin than its start.

    Raises:
        InputError: this process may not read the file.
    """
    require_readable(file.path)
    yield ReadUnit(table=table.name, path=file.path, format=format, size=file.size)


def require_text(path: str, format: str) -> None:
    """Refuses what is no text, such as a spreadsheet or UTF-16: Arrow would look for commas in it.

    Raises:
        InputError: the file is no text.
    """
    with open_stream(path) as stream:
        head = stream.read(_HEAD_BYTES)
    # A zero byte alone is one bad value in a text.
    if head.startswith(_OTHER_THAN_TEXT) or 10 * head.count(0) > len(head):
        raise InputError(
            f"{path}: is no text in UTF-8 (it begins with the bytes {head[:4].hex(' ')}); save it as "
            f"{format} in UTF-8, or name its format by the source's `format`"
        )
