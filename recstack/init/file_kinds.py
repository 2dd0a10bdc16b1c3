"""What a file is by its first bytes, where its name says nothing or something else."""

from dataclasses import replace

from beam_pipelines.config import TableSource
from beam_pipelines.config.source_kinds import formats_by_ending
from beam_pipelines.sources.file_names import files_of
from beam_pipelines.sources.opening import open_file, open_stream, without_compression
from features.errors import InputError

_MAGIC = {b"PAR1": "parquet", b"ARROW1": "feather", b"ORC": "orc", b"\xd0\xcf\x11\xe0": "excel"}
_ZIP, _INSIDE_SPREADSHEETS = b"PK\x03\x04", (b"[Content_Types].xml", b"docProps/", b"xl/", b"opendocument.spreadsheet")
# By the first bytes in small letters.
_NO_TABLES = {
    b"%pdf": "a PDF document; export the table as CSV",
    b"<!doctype html": "a web page; download the file itself",
    b"<html": "a web page; download the file itself",
    b"<?xml": "XML; export the table as CSV or JSON",
    b"version https://git-lfs": "what Git LFS puts in a file's place; run `git lfs pull`",
}
_TEXT_FORMATS = ("csv", "jsonl")
_HEAD_BYTES = 1 << 12


def with_format(source: TableSource) -> tuple[TableSource, dict[str, str]]:
    """The source with the format that the first bytes tell, and the reason, where the file's ending does not tell it.

    Raises:
        InputError: the file is no table.
    """
    files = files_of(source.path)
    if not files or files[0].size == 0:
        return source, {}
    path = files[0].path
    with open_file(path) as file:
        head = file.read(_HEAD_BYTES)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if what := next((what for magic, what in _NO_TABLES.items() if start.startswith(magic)), ""):
        raise InputError(f"{path}: is {what}")
    if source.format != "auto":
        return source, {}
    names = [without_compression(name).lower() for name in (path, source.path.rstrip("/*"))]
    by_name = next((kind for name in names for end, kind in formats_by_ending().items() if name.endswith(end)), "")
    found = _binary_format(head)
    if by_name and (by_name not in _TEXT_FORMATS or not found):
        return source, {}
    found = found or _text_format(path)
    what = {"csv": "lines of text", "jsonl": "JSON"}.get(found, found)
    says = "says something else" if by_name else "says nothing"
    return replace(source, format=found), {"format": f"the file's name {says}, its beginning reads as {what}"}


def _binary_format(head: bytes) -> str:
    if head.startswith(_ZIP):
        return "excel" if any(name in head for name in _INSIDE_SPREADSHEETS) else ""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")


def _text_format(path: str) -> str:
    with open_stream(path) as stream:
        head = stream.read(_HEAD_BYTES)
    return "jsonl" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[")) else "csv"
