"""The C++ libraries' own log lines ("I0000 00:00:… partitioner_factory_base.cc:58] …"), which no Python logger sees.

TensorFlow 2.20 and ScaNN write them to stderr through Abseil, each through its own copy, and ignore
`TF_CPP_MIN_LOG_LEVEL`. Both libraries export the function that sets Abseil's level.
"""

import ctypes
import re
from pathlib import Path

_LIBRARY = re.compile(r"/\S*(?:libtensorflow_framework\.so|_scann_ops\.so|scann_pybind\.so)\S*")
_SET_LEVEL = "_ZN4absl12lts_2025012714SetMinLogLevelENS0_18LogSeverityAtLeastE"
_WARNING = 1


def silence_native_notices() -> None:
    """Silences messages below a warning from the libraries loaded so far; other versions of them stay as they are."""
    try:
        loaded = set(_LIBRARY.findall(Path("/proc/self/maps").read_text("utf-8", errors="replace")))
    except OSError:  # not Linux
        return
    for path in loaded:
        set_level = getattr(ctypes.CDLL(path), _SET_LEVEL, None)
        if set_level is not None:
            set_level(_WARNING)
