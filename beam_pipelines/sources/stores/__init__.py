"""Tables that lie in a database: one module a kind of server, all with the functions of `contract.Store`."""
