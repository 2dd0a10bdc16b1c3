"""Feature specifications: what a column means, its raw type and its options. Imports no TensorFlow."""
