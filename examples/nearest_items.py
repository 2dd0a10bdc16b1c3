"""Similar items from the vectors that `recstack export --embeddings` writes; no TensorFlow.

python nearest_items.py work/embeddings/items.parquet 318 --k 5
"""

import argparse
from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the items whose vectors have the largest cosine with the given item's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", help="the Parquet file")
    parser.add_argument("item", help="item id")
    parser.add_argument("--k", type=int, default=10, help="items to print")
    given = parser.parse_args(arguments)
    table = pq.read_table(given.table)
    ids = table["id"].to_pylist()
    vectors = np.stack(table["embedding"].to_numpy())
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = vectors @ vectors[ids.index(given.item)]
    for row in [row for row in np.argsort(-cosines) if ids[row] != given.item][: given.k]:
        print(f"{ids[row]} {cosines[row]:.4f}")


if __name__ == "__main__":
    main()
