"""Raw values to indices and floats: the only implementation of each transformation."""
