"""Beyond TensorFlow Serving, off by default: admission, shadow traffic, request log, load generator."""
