"""Activations quantized row by row (a row is a token) in a graph that quantizes them tensor by tensor.

With one scale for a whole tensor the answer to a text depends on what other texts are in its batch. With a scale s for
each row x of it, s = max|x| / 127, q = round(x / s), no row knows of another: (q W) s s_W as before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_STEPS = 127.0  # on each side of zero
_ZERO = 128  # of unsigned bytes, which processors multiply with signed weights
_LEAST = 1e-12  # the scale of a row of zeros


def quantize_by_row(file: Path) -> None:
    """Rewrite the file of a graph in which DynamicQuantizeLinear has one scale a tensor: each row gets its own."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(file)
    graph = model.graph
    constants: dict[str, tuple[int, list[int], list[Any]]] = {
        "row_scales_steps": (TensorProto.FLOAT, [], [1 / _STEPS]),
        "row_scales_least": (TensorProto.FLOAT, [], [_LEAST]),
        "row_scales_middle": (TensorProto.FLOAT, [], [float(_ZERO)]),
        "row_scales_zero": (TensorProto.UINT8, [], [_ZERO]),
        "row_scales_axis": (TensorProto.INT64, [1], [-1]),
    }
    quantized = [node for node in graph.node if node.op_type == "DynamicQuantizeLinear"]
    scales, zeros = ({node.output[place] for node in quantized} for place in (1, 2))
    products: dict[str, Any] = {}  # of two scales, by name
    nodes: list[Any] = []
    for node in graph.node:
        # What multiplied by a tensor's zero point takes the one that all have now.
        node.input[:] = ["row_scales_zero" if name in zeros else name for name in node.input]
        if node.op_type == "DynamicQuantizeLinear":
            nodes += _by_row(node, helper)
        elif node.op_type == "Mul" and scales & set(node.input):
            products[node.output[0]] = node
        elif node.op_type == "Mul" and (found := [name for name in node.input if name in products]):
            nodes += _scaled(node, found[0], products[found[0]], scales, helper)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(helper.make_tensor(name, *value) for name, value in constants.items())
    onnx.save(model, file)


def _by_row(node: Any, helper: Any) -> list[Any]:
    (x,), (quantized, scale, _) = node.input, node.output
    steps = [
        ("Abs", [x], "size"),
        ("ReduceMax", ["size", "row_scales_axis"], "largest"),
        ("Mul", ["largest", "row_scales_steps"], "step"),
        ("Max", ["step", "row_scales_least"], scale),
        ("Div", [x, scale], "ratio"),
        ("Round", ["ratio"], "whole"),
        ("Add", ["whole", "row_scales_middle"], "moved"),
    ]
    own = {name for _, _, name in steps} - {scale}

    def named(name: str) -> str:
        return f"{quantized}_{name}" if name in own else name

    made = [
        helper.make_node(kind, [named(name) for name in given], [named(result)], name=f"{quantized}_{kind}")
        for kind, given, result in steps
    ]
    return [*made, helper.make_node("Cast", [named("moved")], [quantized], to=2, name=f"{quantized}_Cast")]


def _scaled(node: Any, product: str, scale: Any, scales: set[str], helper: Any) -> list[Any]:
    """Return a product of integers times its two scales, one after the other.

    Of scales that are multiplied first ONNX Runtime takes the first number for all of them (MatMulIntegerToFloat).
    """
    (integers,) = (name for name in node.input if name != product)
    first, second = sorted(scale.input, key=lambda name: name in scales)
    between = f"{product}_columns"
    return [
        helper.make_node("Mul", [integers, first], [between], name=f"{node.name}_columns"),
        helper.make_node("Mul", [between, second], list(node.output), name=node.name),
    ]
