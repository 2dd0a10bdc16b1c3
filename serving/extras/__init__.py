"""What recstack adds to TensorFlow Serving, off by default: admission, logs, shadow traffic, load generator."""
