"""The contract every stage shares: what a feature is, how it is encoded, what lies where on disk.

This is also the one place that selects Keras 2 (`TF_USE_LEGACY_KERAS=1`). TensorFlow Recommenders 0.7 is written
against Keras 2, and TensorFlow decides which Keras it loads when it is imported, so the variable has to be set
before the first `import tensorflow`. Each recstack package imports `features` first; nothing else happens at import.
"""

import os

if os.environ.setdefault("TF_USE_LEGACY_KERAS", "1") != "1":
    raise ImportError(
        f"TF_USE_LEGACY_KERAS is {os.environ['TF_USE_LEGACY_KERAS']!r}, expected '1': TensorFlow Recommenders needs "
        "Keras 2. Unset the variable; recstack sets it."
    )
