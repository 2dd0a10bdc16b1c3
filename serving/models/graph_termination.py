"""Which results of a graph are sure to be computed: those that depend on no unbounded loop, queue or external call.

A loop with a constant `maximum_iterations` is bounded. A run without unbounded operations executes each operation a
bounded number of times, so it ends soon and needs no deadline: it takes the fast path of `serving.models.session`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tensorflow.core.framework import graph_pb2

_UNBOUNDED = re.compile("While|^For$|Enter$|NextIteration|Queue|Barrier|Stage|Iterator|Dataset|PyFunc|Recv|RemoteCall")


def unbounded_functions(graph: graph_pb2.GraphDef) -> frozenset[str]:
    """Names of the graph's functions that contain an unbounded operation or call a function that does."""
    functions = {function.signature.name: function for function in graph.library.function}
    calls: dict[str, set[str]] = {}
    unbounded: set[str] = set()
    for name, function in functions.items():
        calls[name] = set()
        for node in function.node_def:
            calls[name].update(_called(node))
            if _UNBOUNDED.search(node.op) and not _is_bounded(node, function, functions):
                unbounded.add(name)
    grown = True
    while grown:
        callers = {name for name, called in calls.items() if name not in unbounded and called & unbounded}
        unbounded |= callers
        grown = bool(callers)
    return frozenset(unbounded)


def always_terminates(results: Sequence[Any], unbounded: frozenset[str]) -> bool:
    """Whether tensors can be computed without unbounded operations.

    Args:
        results: `tf.Tensor`s of a `tf.Graph`.
        unbounded: `unbounded_functions` of that graph.
    """
    seen: set[str] = set()
    waiting = [tensor.op for tensor in results]
    while waiting:
        operation = waiting.pop()
        if operation.name in seen:
            continue
        seen.add(operation.name)
        if _UNBOUNDED.search(operation.type) or not unbounded.isdisjoint(_called(operation.node_def)):
            return False
        waiting += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
    return True


def _is_bounded(node: Any, function: Any, functions: Mapping[str, Any]) -> bool:
    """Whether a node is a `tf.while_loop` that counts up to a constant; its first two inputs are counter and limit."""
    if node.op not in ("While", "StatelessWhile") or len(node.input) < 2:
        return False
    constants = {each.name: each.attr["value"].tensor for each in function.node_def if each.op == "Const"}
    maximum = constants.get(node.input[1].partition(":")[0])
    if maximum is None or not any(value >= 0 for value in maximum.int_val):
        return False
    condition = functions[node.attr["cond"].func.name]
    counted = [argument.name for argument in condition.signature.input_arg[:2]]
    return any(each.op == "Less" and list(each.input) == counted for each in condition.node_def)


def _called(node: Any) -> Iterable[str]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for function in value.list.func:
            yield function.name
