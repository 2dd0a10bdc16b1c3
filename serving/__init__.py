"""SavedModels in, answers over TensorFlow Serving's gRPC and REST protocols out."""

import features as features  # selects Keras 2 before TensorFlow loads
