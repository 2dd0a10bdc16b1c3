"""Files and databases behind one contract, as Arrow record batches."""
