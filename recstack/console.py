"""What a verb says: progress and errors on the standard error stream, its one result on the standard output."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from recstack.init.questions import Question

# No markup: paths, ids and titles are the user's, and brackets in them mean nothing.
_PROGRESS = Console(stderr=True, highlight=False, markup=False, emoji=False)
_RESULT = Console(highlight=False, markup=False, emoji=False)
_LOG_SECONDS = 10.0


def is_terminal() -> bool:
    """Whether a person can be asked: both the input and the messages are a terminal's."""
    return sys.stdin.isatty() and _PROGRESS.is_terminal


class Voice:
    """Speaks for one verb: to a person, or with `--json` to a program."""

    def __init__(self, verb: str, *, as_json: bool) -> None:
        """Speaks as `verb`; `as_json` prints results as one JSON object."""
        self.verb = verb
        self.as_json = as_json

    def progress(self, message: str) -> None:
        """One line about the work going on."""
        _PROGRESS.print(Text.assemble((f"{self.verb:>9}", "dim"), f"  {message}"), soft_wrap=True)

    def show(self, renderable: RenderableType) -> None:
        """A table or a text for a person; nothing with `--json`."""
        if not self.as_json:
            _RESULT.print(renderable)

    def result(self, summary: str, data: Mapping[str, Any]) -> None:
        """The verb's outcome: `summary` for a person, `data` for a program."""
        if self.as_json:
            sys.stdout.write(json.dumps({"verb": self.verb, **data}) + "\n")
        else:
            _RESULT.print(Text.assemble((self.verb, "bold"), f": {summary}"), soft_wrap=True)

    def choose(self, question: "Question") -> str:
        """Asks a person at the terminal which of two columns is meant; returns its name."""
        _PROGRESS.print(Text.assemble((f"{self.verb:>9}", "dim"), f"  {question.table}: which is the {question.role}?"))
        names = [column.name for column in question.choices]
        for number, column in enumerate(question.choices, 1):
            _PROGRESS.print(f"{number:>12}  {question.described(column)}", soft_wrap=True)
        while True:
            answer = _PROGRESS.input(f"{'':>11}number or name: ").strip()
            if answer.isdigit() and 1 <= int(answer) <= len(names):
                return names[int(answer) - 1]
            if answer in names:
                return answer

    def error(self, message: str) -> None:
        """What went wrong, in one line."""
        _PROGRESS.print(Text(f"recstack {self.verb}: {message}", "red"), soft_wrap=True)


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Appends the block's wall time in seconds to the list it yields, however the block ends."""
    seconds: list[float] = []
    start = time.perf_counter()
    try:
        yield seconds
    finally:
        seconds.append(time.perf_counter() - start)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """Shows how far the block is, on the standard error stream; yields `update(done, total, text)`.

    A terminal gets a bar that goes away in the end; a log file gets a line every few seconds.
    """
    if not _PROGRESS.is_terminal:
        yield _lines(title)
        return
    columns = (
        TextColumn("{task.description:>9} "),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=_PROGRESS, transient=True) as bar:
        task = bar.add_task(title, total=None, text="loading")
        yield lambda done, total, text: bar.update(task, completed=done, total=total, text=text)


def _lines(title: str) -> Callable[[int, int, str], None]:
    said = time.monotonic()

    def update(done: int, total: int, text: str) -> None:
        nonlocal said
        if time.monotonic() - said >= _LOG_SECONDS or done == total:
            said = time.monotonic()
            _PROGRESS.print(f"{title:>9}  {done:,} of {total:,}  {text}", soft_wrap=True)

    return update
