"""How the lines of a text file are cut into fields."""

from dataclasses import dataclass

from beam_pipelines.config import TableSource
from beam_pipelines.sources.opening import without_compression

BLANKS = "blanks"
"""As a delimiter: any number of blanks and tabs, also before the first field."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """Delimiter, quote and escape of one file; an empty text where there is none."""

    delimiter: str
    """Between two fields; one or several characters, or `BLANKS`."""
    quote: str = ""
    """Around a field that holds a delimiter, a line break or a quote."""
    escape: str = ""
    """Takes the meaning from the next character; without one a quote is doubled."""

    @classmethod
    def of(cls, source: TableSource, path: str) -> "Dialect":
        """What the configuration says, or what is usual for the file's ending."""
        is_tsv = without_compression(path).lower().endswith((".tsv", ".tab"))
        delimiter = source.delimiter or ("\t" if is_tsv else ",")
        quote = source.quote
        if quote == "auto":
            quote = "" if delimiter == "\t" or len(delimiter.encode()) > 1 else '"'
        return cls(delimiter=delimiter, quote=quote, escape=source.escape)
