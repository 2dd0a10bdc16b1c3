"""The C++ libraries' own log lines ("I0000 00:00:… partitioner_factory_base.cc:58] …"), which no Python logger sees.

TensorFlow 2.20 and ScaNN write them to stderr by Abseil, each by its own copy of it, whatever `TF_CPP_MIN_LOG_LEVEL`
says. Abseil's level can be set by a function that both libraries export.
"""

import ctypes
import re
from pathlib import Path

_LIBRARY = re.compile(r"/\S*(?:libtensorflow_framework\.so|_scann_ops\.so|scann_pybind\.so)\S*")
_SET_LEVEL = "_ZN4absl12lts_2025012714SetMinLogLevelENS0_18LogSeverityAtLeastE"
_WARNING = 1


def silence_native_notices() -> None:
    """Drops what is below a warning, of the libraries that are loaded by now; does nothing where they are others."""
    try:
        loaded = set(_LIBRARY.findall(Path("/proc/self/maps").read_text()))
    except OSError:  # another system than Linux
        return
    for path in loaded:
        set_level = getattr(ctypes.CDLL(path), _SET_LEVEL, None)
        if set_level is not None:
            set_level(_WARNING)
