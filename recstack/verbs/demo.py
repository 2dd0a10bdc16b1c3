"""`recstack demo`: the main job on real films, from raw ratings to recommendations that came back over gRPC."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from features.disk.files import write_text_atomically
from features.disk.manifest import read_manifest
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice, stopwatch
from recstack.display import DisplayData, read_display_data
from recstack.local_server import local_server
from recstack.verbs.evaluate import evaluate, headline
from recstack.verbs.export import export
from recstack.verbs.prepare import prepare
from recstack.verbs.train import train

if TYPE_CHECKING:
    from serving.client import Recommendation
    from trainer.export.saving import Exported

UNKNOWN_USER = "a user the model has never seen"
_SHOWN_HISTORY = 5
# Where in the order of history lengths the three users of the demo stand.
_QUANTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class DemoArguments(StackArguments):
    """Runs the main job on MovieLens: prepare, train, evaluate, export, serve, ask."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(DemoArguments, "demo", arguments)
    run_demo(parsed.stack, as_json=parsed.json)
    return 0


def run_demo(stack: StackConfig, *, as_json: bool) -> dict[str, Any]:
    """Runs all stages, asks the server for recommendations and writes `summary.json`; returns its content."""

    def voice(verb: str) -> Voice:
        return Voice(verb, as_json=as_json)

    with stopwatch() as wall:
        manifest = prepare(stack, voice("prepare"))
        runs = [train(stack, stage, voice("train")) for stage in stack.stage_names]
        judged = {stage: evaluate(stack, stage, voice("evaluate")) for stage in stack.stage_names}
        exported = export(stack, voice("export"))
        with stopwatch() as serving:
            recommendations = _ask(stack, read_display_data(stack.features, stack.layout.dataset), voice("serve"))
        if "list_ranking" in judged:
            voice("evaluate").show(second_stage(judged["list_ranking"]))
    # Each stage's own record of its time, so that a second run, which has nothing to do, tells the same.
    seconds = {
        "prepare": manifest.seconds,
        "train": sum(run.seconds for run in runs),
        "evaluate": sum(result["seconds"] for result in judged.values()),
        "export": sum(entry.seconds for entry in exported),
        "serve": serving[0],
    }
    seconds["total"] = sum(seconds.values())
    retrieval, ranking = judged["retrieval"], judged["ranking"]
    cascade = {"cascade": headline(judged["list_ranking"])} if "list_ranking" in judged else {}
    summary = {
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        "retrieval": headline(retrieval)["model"],
        "baselines": {name: row for name, row in headline(retrieval).items() if name != "model"},
        "ranking": headline(ranking)["model"],
        "ranking_baselines": {name: row for name, row in headline(ranking).items() if name != "model"},
        **cascade,
        "index": _index(stack),
        "counts": dict(manifest.counts),
        "sizes": _sizes(stack, exported),
        "recommendations": recommendations,
    }
    write_text_atomically(stack.layout.summary, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    voice("demo").result(f"done in {wall[0]:.0f} s: {stack.layout.summary}", {"summary": str(stack.layout.summary)})
    return summary


def _ask(stack: StackConfig, catalogue: DisplayData, voice: Voice) -> dict[str, list[dict[str, Any]]]:
    """Starts the server and asks for three known users and an unknown one."""
    from serving.client import RecommenderClient

    answers: dict[str, list[dict[str, Any]]] = {}
    flags = [f"--model_config_file={stack.layout.model_config.resolve()}"]
    voice.progress(f"starting `recstack serve {flags[0]}`")
    with local_server(flags, stack.layout.root / "server.log") as address:
        voice.progress(f"the server answers on {address}")
        with RecommenderClient(address, model="recommender") as client:
            for user in [*_typical_users(catalogue), UNKNOWN_USER]:
                seen = catalogue.histories.get(user, ())
                items = client.recommend({stack.features.user_id: [user]}, exclude=[list(seen)])[0]
                voice.show(_table(user, seen, items, catalogue))
                answers[user] = [
                    {"item_id": item.item_id, "title": catalogue.title(item.item_id), "score": item.score}
                    for item in items
                ]
    return answers


def second_stage(result: Mapping[str, Any]) -> Table:
    """What is served beside retrieval's order, by metric: of all targets, and of each task's positive ones."""
    served = "the list ranker" if result["ranks"] else "retrieval itself"
    table = Table(
        title=f"What the second stage brings: {served} orders what retrieval finds",
        title_justify="left",
        caption="difference: paired bootstrap interval over users",
    )
    for name in ("test split", "retrieval", "cascade", "difference"):
        table.add_column(name, justify="left" if name == "test split" else "right")
    first = f"@{result['cutoffs'][0]}"
    for metric in (f"ndcg{first}", f"recall{first}"):
        of_all = {
            "retrieval": result["baselines"]["retrieval"]["metrics"][metric]["value"],
            "cascade": result["model"]["metrics"][metric]["value"],
            "difference": result["versus"]["retrieval"][metric]["difference"],
        }
        rows = {"taken": of_all} | {task: metrics[metric] for task, metrics in result["by_label"].items()}
        for task, row in rows.items():
            spread = "{value:+.4f} [{low:+.4f}, {high:+.4f}]".format(**row["difference"])
            table.add_row(f"{metric}, {task}", f"{row['retrieval']:.4f}", f"{row['cascade']:.4f}", spread)
    return table


def _typical_users(catalogue: DisplayData) -> list[str]:
    """Three users with a short, a middling and a long history."""
    ordered = sorted(catalogue.histories, key=lambda user: (len(catalogue.histories[user]), user))
    return list(dict.fromkeys(ordered[int(share * (len(ordered) - 1))] for share in _QUANTILES))


def _table(user: str, seen: Sequence[str], items: "Sequence[Recommendation]", catalogue: DisplayData) -> Table:
    title = f"User {user}: {len(seen)} films rated" if seen else f"{user[:1].upper()}{user[1:]}"
    table = Table(title=title, title_justify="left")
    table.add_column("last rated")
    table.add_column("recommended over gRPC")
    table.add_column("score", justify="right")
    last = [catalogue.title(item_id) for item_id in seen[-1 : -_SHOWN_HISTORY - 1 : -1]]
    for row, item in enumerate(items):
        table.add_row(last[row] if row < len(last) else "", catalogue.title(item.item_id), f"{item.score:.4f}")
    return table


def _index(stack: StackConfig) -> dict[str, Any]:
    """Kind and recall of the index of the newest `retrieval`."""
    layout = stack.layout.model("retrieval")
    report = read_manifest(layout.manifest(max(layout.versions())), "saved_model").metrics["index"]
    return {"kind": report["kind"], f"recall@{report['tuned_k']}": report["recall"]}


def _sizes(stack: StackConfig, exported: "Sequence[Exported]") -> dict[str, int]:
    """Bytes on disk: the dataset and the newest version of each model."""
    dataset = sum(path.stat().st_size for path in stack.layout.dataset.root.rglob("*") if path.is_file())
    return {"dataset": dataset} | {entry.model: entry.num_bytes for entry in exported}
