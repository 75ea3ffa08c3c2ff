"""The convolutions of :class:`FastRenderer` as an ONNX graph of any picture size, written without further packages.

The graph has the layers with weights, Conv, Relu, Add and Resize. What comes before them and after them (push-pull,
pixel shuffle, sigmoids) is the page's own (`web/page/neural.js`), so that all of the graph runs on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from torch import Tensor, nn

from ..nets.channels import NUM_GENERATED
from ..nets.renderer import OUT, PICTURE, FastRenderer, Residual, folded
from ..version import __version__

FLOAT, FLOAT16 = 1, 10  # TensorProto.DataType
INT_ATTRIBUTE, STRING_ATTRIBUTE, INTS_ATTRIBUTE = 2, 3, 7  # AttributeProto.AttributeType
IR_VERSION, OPSET = 8, 13
INPUTS = {"generated": NUM_GENERATED, "picture": PICTURE}
"""Channels [1, c, H, W]: T_gen and the layers that :meth:`FastRenderer.layers` puts beside it."""


def renderer_graph(renderer: FastRenderer) -> bytes:
    """An ONNX file: ``generated`` and ``picture`` [1, c, H, W] to ``y`` [1, 5 r², H/r, W/r], before the pixel shuffle.

    H and W are multiples of 32. Weights are stored as float16.
    """
    net, g = cast(FastRenderer, folded(renderer)), _Graph()
    y = g.relu(g.add(g.conv("generated", net.features[0]), g.conv("picture", net.picture[0])))
    skips = []
    for level in net.down:
        y = g.residuals(y, level)
        skips.append(y)
    skips.pop()
    for lift, level in zip(net.lift, net.up, strict=True):
        y = g.residuals(g.add(g.double(g.conv(y, lift)), skips.pop()), level)
    g.add(g.conv(y, net.head), g.conv("picture", net.detail), "y")
    values = [*(_field(11, _value(n, c, "H", "W")) for n, c in INPUTS.items()),
              _field(12, _value("y", OUT * net.r**2, "h", "w"))]  # fmt: skip
    graph = b"".join([*g.nodes, _field(2, b"renderer"), *g.weights, *values])
    return b"".join([_number(1, IR_VERSION), _field(2, b"dinar"), _field(3, __version__.encode()), _field(7, graph),
                     _field(8, _number(2, OPSET))])  # fmt: skip


class _Graph:
    """Nodes and weights of a GraphProto, encoded. Every method adds nodes and returns the name of their result."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.weights: list[bytes] = []
        self.scales = self._array(np.array([1, 1, 2, 2], np.float32))

    def conv(self, x: str, layer: nn.Module) -> str:
        c = cast(nn.Conv2d, layer)
        bias = [] if c.bias is None else [self._weight(c.bias)]
        pads = cast(tuple[int, ...], c.padding) * 2
        return self._node("Conv", [x, self._weight(c.weight), *bias], kernel_shape=c.kernel_size, strides=c.stride,
                          dilations=c.dilation, pads=pads)  # fmt: skip

    def relu(self, x: str) -> str:
        return self._node("Relu", [x])

    def add(self, a: str, b: str, name: str = "") -> str:
        return self._node("Add", [a, b], name)

    def double(self, x: str) -> str:
        how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return self._node("Resize", [x, "", self.scales], **how)

    def residuals(self, x: str, blocks: nn.Module) -> str:
        for block in cast(Sequence[Residual], blocks):
            first, last = block.layers[0], block.layers[3]
            skip = x if isinstance(block.skip, nn.Identity) else self.conv(x, block.skip)
            x = self.relu(self.add(skip, self.conv(self.relu(self.conv(x, first)), last)))
        return x

    def _weight(self, w: Tensor) -> str:
        half = self._array(w.detach().cpu().half().numpy())
        return self._node("Cast", [half], to=FLOAT)

    def _array(self, a: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        kind = {np.dtype(np.float32): FLOAT, np.dtype(np.float16): FLOAT16}[a.dtype]
        data = a.astype(a.dtype.newbyteorder("<")).tobytes()
        tensor = [*(_number(1, n) for n in a.shape), _number(2, kind), _field(8, name.encode()), _field(9, data)]
        self.weights.append(_field(5, b"".join(tensor)))
        return name

    def _node(self, op: str, inputs: list[str], name: str = "", **attributes: int | str | Sequence[int]) -> str:
        name = name or f"x{len(self.nodes)}"
        parts = [*(_field(1, i.encode()) for i in inputs), _field(2, name.encode()), _field(4, op.encode())]
        parts += [_field(5, _attribute(k, v)) for k, v in attributes.items()]
        self.nodes.append(_field(1, b"".join(parts)))
        return name


# ---- protocol buffers: fields are numbered as in onnx.proto ----------------------------------------------------------


def _attribute(name: str, value: int | str | Sequence[int]) -> bytes:
    if isinstance(value, int):
        content, kind = _number(3, value), INT_ATTRIBUTE
    elif isinstance(value, str):
        content, kind = _field(4, value.encode()), STRING_ATTRIBUTE
    else:
        content, kind = b"".join(_number(8, v) for v in value), INTS_ATTRIBUTE
    return _field(1, name.encode()) + content + _number(20, kind)


def _value(name: str, channels: int, height: str, width: str) -> bytes:
    """A ValueInfoProto: float [1, channels, height, width]."""
    sizes = [
        *(_field(1, _number(1, n)) for n in (1, channels)),
        *(_field(1, _field(2, n.encode())) for n in (height, width)),
    ]
    kind = _number(1, FLOAT) + _field(2, b"".join(sizes))
    return _field(1, name.encode()) + _field(2, _field(1, kind))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])
