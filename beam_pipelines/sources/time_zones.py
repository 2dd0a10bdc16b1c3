"""Zones inside texts of times: offsets, abbreviations and names, wherever the pattern has them."""

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc

_HOUR = 3600
# Hours from UTC of abbreviations that mean one zone only: those of RFC 2822, and Europe's.
_ABBREVIATIONS = {
    **dict.fromkeys(("Z", "UT", "UTC", "GMT", "WET"), 0),
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "WEST": 1,
    "CET": 1,
    "CEST": 2,
    "EET": 2,
    "EEST": 3,
    "MSK": 3,
    "JST": 9,
    "AEST": 10,
    "AEDT": 11,
}
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})?$")
ZONE = r"(?:(?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})?|[A-Z][A-Za-z_]+(?:/[A-Za-z_+-]+)+|[A-Z]{1,5})"
# Regular expressions of the parts of a pattern, to find the zone among them.
_PARTS = {"Y": r"\d{4}", "p": r"[AaPp]\.?[Mm]\.?", **dict.fromkeys("bBaA", r"[A-Za-z.]+")}
_DIGITS = r"\s?\d{1,9}"


@dataclass(frozen=True)
class Zoned:
    """Texts without their zones, `[rows]`, and the zones; null where a text has none that is known."""

    bodies: pa.StringArray
    """What is left."""
    zones: pa.StringArray
    """As written."""


def has_zone(pattern: str) -> bool:
    """Whether a pattern such as `%d/%m/%Y %H:%M %z` has a place for a zone."""
    return "%z" in pattern or "%Z" in pattern


def without_zone(pattern: str) -> str:
    """The pattern of what `take_zones` leaves."""
    return re.sub(r" ?%[zZ] ?", " ", pattern).strip()


def take_zones(texts: pa.StringArray, pattern: str) -> Zoned:
    """Cuts the zones out of texts.

    Args:
        texts: `[rows]`.
        pattern: says where the zone is; of a pattern without one, at the end.
    """
    before, _, after = re.sub("%Z", "%z", pattern).partition("%z")
    if not has_zone(pattern):
        before, after = "", ""
    expression = (
        f"^(?P<before>{_expression(before) if before else '.*?'})(?P<zone>{ZONE})(?P<after>{_expression(after)})$"
    )
    found = pc.extract_regex(pc.utf8_trim_whitespace(texts), expression)
    parts = [pc.utf8_trim_whitespace(pc.struct_field(found, name)) for name in ("before", "after")]
    bodies = pc.utf8_trim_whitespace(pc.binary_join_element_wise(*parts, " "))
    return Zoned(bodies, pc.struct_field(found, "zone"))


def shift_to_utc(seconds: pa.Int64Array, zones: pa.StringArray) -> pa.Int64Array:
    """Wall-clock seconds of each row's zone to seconds since 1970-01-01 UTC; null where the zone is unknown."""
    shifted = pa.nulls(len(seconds), pa.int64())
    for zone in zones.unique().drop_null().to_pylist():
        here = pc.fill_null(pc.equal(zones, zone), False)
        shifted = pc.if_else(here, _in_utc(seconds, zone), shifted)
    return shifted


def _in_utc(seconds: pa.Int64Array, zone: str) -> pa.Int64Array:
    offset = _offset_seconds(zone)
    if offset is not None:
        return pc.subtract(seconds, offset)
    try:
        name = ZoneInfo(zone).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return pa.nulls(len(seconds), pa.int64())
    local = pc.cast(seconds, pa.timestamp("s"))
    return pc.cast(pc.assume_timezone(local, name, ambiguous="earliest", nonexistent="earliest"), pa.int64())


def _offset_seconds(zone: str) -> int | None:
    if zone in _ABBREVIATIONS:
        return _ABBREVIATIONS[zone] * _HOUR
    found = _OFFSET.match(zone)
    if not found:
        return None
    sign, hours, minutes = found.groups()
    return (-1 if sign == "-" else 1) * (int(hours) * _HOUR + int(minutes or 0) * 60)


def _expression(pattern: str) -> str:
    parts = re.split(r"%(.)", pattern)
    texts = (re.escape(part) if n % 2 == 0 else _PARTS.get(part, _DIGITS) for n, part in enumerate(parts))
    return "".join(texts)
