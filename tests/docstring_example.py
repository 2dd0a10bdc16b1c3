"""Runs the example in a module's docstring with the addresses and paths of a test."""

import doctest
from types import ModuleType
from typing import Any


def run_example(module: ModuleType, replaced: dict[str, str]) -> dict[str, Any]:
    """The names that the example has bound, after checking that it prints what it says."""
    text = str(module.__doc__)
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    test = doctest.DocTestParser().get_doctest(text, dict(vars(module)), module.__name__, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0, "the difference is printed above"
    return test.globs
