"""What text formats have in common: a file is one unit of UTF-8 lines, whatever its encoding and line ends are."""

import codecs
from collections.abc import Callable, Iterator

from beam_pipelines.config import TableSource
from beam_pipelines.sources.contract import ReadUnit, SourceFile
from beam_pipelines.sources.opening import open_stream, require_readable
from beam_pipelines.sources.tables import Table
from features.errors import InputError

_HEAD_BYTES = 1 << 12
_BLOCK_BYTES = 1 << 24
# Spreadsheets and archives, gzip, Parquet, older spreadsheets.
_OTHER_THAN_TEXT = (b"PK\x03\x04", b"\x1f\x8b", b"PAR1", b"\xd0\xcf\x11\xe0", b"ORC", b"ARROW1")
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # UTF-32's mark begins with that of UTF-16.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def whole_file(table: Table, file: SourceFile, format: str) -> Iterator[ReadUnit]:
    """One unit for the file: a compressed text can only be read from its start.

    Raises:
        InputError: this process may not read the file.
    """
    require_readable(file.path)
    yield ReadUnit(table=table.name, path=file.path, format=format, size=file.size)


def text_blocks(path: str, source: TableSource, block_bytes: int = 0) -> Iterator[bytes]:
    """Reads a file as blocks of whole lines.

    Args:
        path: Path of the file.
        source: names the encoding, and how many lines are skipped.
        block_bytes: size of a block before decoding; 0: 16 MB.

    Yields:
        UTF-8 without a byte order mark, each line ended by a line feed, also the last one. Bytes that are not of the
        encoding stay as they are, so that the row that holds them is refused.

    Raises:
        InputError: the file is no text.
    """
    skipped = 0
    for block in _lines(path, source, block_bytes or _BLOCK_BYTES):
        begin = 0
        while skipped < source.skip and begin < len(block):
            begin = block.index(b"\n", begin) + 1
            skipped += 1
        if begin < len(block):
            yield block[begin:] if begin else block


def _lines(path: str, source: TableSource, block_bytes: int) -> Iterator[bytes]:
    rest = b""
    with open_stream(path) as stream:
        head = stream.read(min(_HEAD_BYTES, block_bytes))
        encoding = _encoding_of(head, source.encoding)
        _require_text(path, head, encoding)
        to_utf8 = _transcoder(encoding)
        while head:
            data = to_utf8(head, False)
            whole, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield _normal_line_ends(whole + newline)
            head = stream.read(block_bytes)
        rest += to_utf8(b"", True)
    if rest:
        yield _normal_line_ends(rest if rest.endswith(b"\n") else rest + b"\n")


def _encoding_of(head: bytes, given: str) -> str:
    marked = next((name for mark, name in _BYTE_ORDER_MARKS.items() if head.startswith(mark)), "")
    is_utf8 = not given or codecs.lookup(given).name == "utf-8"
    return marked or "utf-8" if is_utf8 else given


def _transcoder(encoding: str) -> Callable[[bytes, bool], bytes]:
    if codecs.lookup(encoding).name == "utf-8":
        return lambda data, _: data
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    return lambda data, final: decoder.decode(data, final).encode("utf-8", "surrogateescape")


def _normal_line_ends(block: bytes) -> bytes:
    if b"\r" not in block:
        return block
    return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _require_text(path: str, head: bytes, encoding: str) -> None:
    """Refuses what is no text, such as a spreadsheet: a parser would look for commas in it."""
    wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    # A zero byte alone is one bad value in a text.
    if head.startswith(_OTHER_THAN_TEXT) or (not wide and 10 * head.count(0) > len(head)):
        raise InputError(
            f"{path}: is no text in {encoding} (it begins with the bytes {head[:4].hex(' ')}); name its encoding by "
            "the source's `encoding`, or its format by `format`"
        )
