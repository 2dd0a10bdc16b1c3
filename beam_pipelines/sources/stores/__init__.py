"""Tables of databases and packages: one module for each kind, all with the functions of `contract.Store`."""
