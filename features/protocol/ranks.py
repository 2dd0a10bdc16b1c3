"""Describes the rank of a signature's input, for the error messages of clients and servers."""


def describe_rank(rank: int) -> str:
    """Says what to pass for an input of this rank; its first dimension, if it has one, is the batch.

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
