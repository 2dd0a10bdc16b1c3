"""Words for the rank that an input of a signature has, for error messages of clients and servers."""


def describe_rank(rank: int) -> str:
    """What to pass for an input of this rank whose first dimension is the batch, if it has one.

    >>> describe_rank(1)
    'a list, one value per query'
    """
    if rank == 0:
        return "a single value"
    if rank == 1:
        return "a list, one value per query"
    if rank == 2:
        return "a list of lists, one list per query"
    return f"lists nested {rank} deep"
