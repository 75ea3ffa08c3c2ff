"""What is compared: ways to make avatars, each by the options of `create`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..create import CreateOptions
from ..errors import DinarError
from ..neural.weights import Renderer, Unseen, load_networks, open_networks, shipped


@dataclass(frozen=True)
class System:
    """A way to make avatars."""

    name: str
    options: CreateOptions = field(default_factory=CreateOptions)

    @property
    def how(self) -> str:
        """The options that differ from the defaults, for the protocol."""
        told, default = dataclasses.asdict(self.options), dataclasses.asdict(CreateOptions())
        told = {k: v.name if isinstance(v, Path) else v for k, v in told.items() if v != default[k]}
        return "create(" + ", ".join(f"{k}={v}" for k, v in told.items()) + ")"


def choose_systems(
    renderers: Sequence[Renderer],
    weights: Path | None,
    unseen: Sequence[Unseen] = (),  # ways to fill unseen texels; none: the renderer's default
    regressor: Path | None = None,  # weights for "regression"; None: the shipped ones
) -> list[System]:
    """The systems of `dinar evaluate views` and `sequence`, one for each renderer, and each way to fill texels."""
    out = []
    for renderer in dict.fromkeys(renderers):
        if renderer == "neural" or (renderer == "auto" and weights is not None):
            check_weights(weights)
            out.append(System("neural", CreateOptions(renderer="neural", weights=weights)))
        elif renderer == "mesh":
            out.append(System("mesh", CreateOptions(renderer="mesh", weights=weights if len(renderers) == 1 else None)))
        else:
            out.append(System("dinar"))
    if len(out) != len({s.name for s in out}) or not out:
        raise DinarError(f"expected different renderers to compare, got {' '.join(renderers) or 'none'}")
    if not unseen:
        return out
    filled = lambda o, u: dataclasses.replace(o, unseen=u, regressor=regressor if u == "regression" else None)  # noqa: E731
    return [System(f"{s.name}, {u}", filled(s.options, u)) for s in out for u in dict.fromkeys(unseen)]


def check_weights(weights: Path | None) -> None:
    """Say that there are no weights before anything is made."""
    if weights is not None:
        load_networks(weights, ["encoder"])
    elif shipped() is None:
        open_networks(None, "neural")


def ablation_systems(renderers: Sequence[Renderer], weights: Path | None) -> list[System]:
    """The rows of table 2 as systems, and the same of the textured mesh; auto: both, where there are weights."""
    if "auto" in renderers:
        renderers = ("mesh",) if weights is None and shipped() is None else ("mesh", "neural")
    if "neural" not in renderers and weights is not None:
        raise DinarError("weights are of the neural renderer: expected renderer neural or no weights")
    out = []
    if "mesh" in renderers:
        mesh = CreateOptions(renderer="mesh")
        bare = dataclasses.replace(mesh, occlusion=False, offsets=False)
        out += [System("mesh: texture on the bare body", bare),
                System("mesh: + offsets", dataclasses.replace(bare, offsets=True)),
                System("mesh: + occlusion detector", mesh)]  # fmt: skip
    if "neural" in renderers:
        check_weights(weights)
        on = CreateOptions(renderer="neural", weights=weights)

        def row(name: str, **changes: object) -> System:
            return System(f"neural: {name}", dataclasses.replace(on, **changes))  # type: ignore[arg-type]

        off = {"occlusion": False, "refine": False}
        out += [row("RGB texture", neural=False, unseen="nothing", **off),
                row("neural texture", rgb=False, unseen="nothing", **off),
                row("RGB + neural", unseen="nothing", **off),
                row("+ inpainting", unseen="diffusion", **off),
                row("+ occlusion detector", unseen="diffusion", refine=False),
                row("+ RGB tuning", unseen="diffusion", refine=True),
                row("restoration in place of inpainting", unseen="restoration", refine=True),
                row("that, without tuning", unseen="restoration", refine=False),
                row("that, on the bare body", unseen="restoration", refine=False, offsets=False)]  # fmt: skip
    return out
