"""A dataset directory in, trained checkpoints, metrics and SavedModels out."""

import features as features  # selects Keras 2 before TensorFlow loads
