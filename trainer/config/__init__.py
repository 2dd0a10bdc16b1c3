"""Configuration of training, models, index, evaluation and export. Imports no TensorFlow."""
