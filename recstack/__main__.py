"""The command line: `recstack <verb> …`. Each verb parses, calls one function and says where the output is."""

import errno
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NamedTuple

from features.errors import RecstackError
from recstack.console import Voice


class Verb(NamedTuple):
    """One verb: the line that `--help` shows and the module whose `main(arguments) -> int` runs it."""

    summary: str
    module: str


VERBS: dict[str, Verb] = {
    "init": Verb("your tables -> a commented configuration, by looking at them", "recstack.verbs.init"),
    "prepare": Verb("raw tables -> dataset directory of TFRecords (Apache Beam)", "recstack.verbs.prepare"),
    "train": Verb("dataset -> trained retrieval and ranking models", "recstack.verbs.train"),
    "tune": Verb("dataset -> a better configuration of retrieval, within a budget of time", "recstack.verbs.tune"),
    "evaluate": Verb("trained models -> metrics over the full catalogue, beside baselines", "recstack.verbs.evaluate"),
    "export": Verb("trained models -> indexed SavedModels with the next version number", "recstack.verbs.export"),
    "retrain": Verb(
        "new data -> models that passed the gate, published; one command a night", "recstack.verbs.retrain"
    ),
    "promote": Verb("the newest version of the models becomes the stable one", "recstack.verbs.promote"),
    "runs": Verb("the training runs: data, code, metrics, and which is served", "recstack.verbs.runs"),
    "report": Verb("one page about a run: what changed, curves, metrics, the gate", "recstack.verbs.report"),
    "compare": Verb("two runs over the same queries, with intervals", "recstack.verbs.compare"),
    "rollback": Verb("a former version of the SavedModels becomes the newest again", "recstack.verbs.rollback"),
    "push": Verb("models, dataset or run -> an object store, for other machines", "recstack.verbs.push"),
    "pull": Verb("models, dataset or run <- an object store", "recstack.verbs.pull"),
    "serve": Verb("SavedModels -> TensorFlow Serving's gRPC and REST APIs, with its flags", "recstack.verbs.serve"),
    "query": Verb("ask a running server for recommendations", "recstack.verbs.query"),
    "bench-serve": Verb("load on a running server, with a model's own requests", "recstack.verbs.bench_serve"),
    "impressions": Verb("a server's request log -> Parquet tables of what it answered", "recstack.verbs.impressions"),
    "demo": Verb("all of it on MovieLens, in a quarter of an hour", "recstack.verbs.demo"),
}

_INTERRUPTED = 130  # what a shell reports for a process ended by Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb.

    Args:
        arguments: without the program's name; those of the process if not given.

    Returns:
        The exit code: 0 done or nothing to do, 1 failed work, 2 bad configuration or input, 3 refused by the gate.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        sys.stdout.write(_usage())
        return 0
    if given[0] == "--version":
        sys.stdout.write(f"recstack {version('recstack')}\n")
        return 0
    if given[0] not in VERBS:
        Voice(given[0], as_json=False).error(f"no such verb; expected one of {', '.join(VERBS)}; see `recstack --help`")
        return 2
    return _run(given[0], given[1:])


def _run(name: str, arguments: list[str]) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notices about CPUs and missing GPUs
    voice = Voice(name, as_json=False)
    if name != "serve":  # the server has a log of its own; elsewhere Beam and TensorFlow talk about themselves
        logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
        # Beam takes Ctrl-C for an error of the pipeline and logs its traceback.
        logging.getLogger("apache_beam.runners.common").addFilter(
            lambda record: KeyboardInterrupt.__name__ not in record.getMessage()
        )
    try:
        run: Callable[[list[str]], int] = importlib.import_module(VERBS[name].module).main
        return run(arguments)
    except RecstackError as error:
        voice.error(str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("recstack", "features", "beam_pipelines", "trainer", "serving"):
            raise
        voice.error(f"the package of {error.name!r} is not installed; run `pip install 'recstack[all]'`")
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        voice.error(_with_advice(f"{error.filename or 'the system'}: {error.strerror or error}"))
        return 1
    except Exception as error:
        if (trouble := _trouble_of_the_machine(error)) is None:
            raise
        voice.error(trouble)
        return 1
    except KeyboardInterrupt:
        voice.error("interrupted; run the same command again")
        return _INTERRUPTED


def _trouble_of_the_machine(error: Exception) -> str | None:
    """What is said of a full disk or of too little memory; other errors are our mistakes and keep their traceback."""
    if isinstance(error, MemoryError):
        return f"out of memory ({error or 'no more said'}); free some, or lower the batch size or the dimension"
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return None
    kinds = tensorflow.errors
    troubles = (kinds.ResourceExhaustedError, kinds.PermissionDeniedError, kinds.NotFoundError, kinds.UnavailableError)
    if not isinstance(error, troubles):
        return None
    text = str(error).partition("}} ")[2] or str(error)
    return _with_advice(text.partition(" [Op:")[0].splitlines()[0])


def _with_advice(trouble: str) -> str:
    is_full = os.strerror(errno.ENOSPC) in trouble
    return f"{trouble}; free some space and run the same command again: it goes on" if is_full else trouble


def _usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items())
    return (
        "usage: recstack <verb> [--config FILE.toml] [options]\n\n"
        "TensorFlow Recommenders from the tutorial to production.\n\n"
        f"verbs:\n{verbs}\n\n"
        "`recstack <verb> --help` lists a verb's options. Start with `recstack demo`.\n"
        "Exit codes: 0 done or nothing to do, 1 failed work, 2 bad configuration or input, 3 refused by the gate of\n"
        "`recstack retrain` or taken back by `recstack promote --watch`, 130 interrupted, 143 asked to end by SIGTERM\n"
        "with the training saved; `recstack serve` exits with 255 if it cannot start.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
