"""File formats: one module each, all with the functions of `contract.FileFormat`."""
