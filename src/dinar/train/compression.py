"""Stage 2: the VQGAN that makes textures small enough to diffuse (§3.3 "Reducing texture space").

    dinar train compression --data PEOPLE --init runs/avatar/weights --run runs/compression

Everything else is fixed: eq. 4 on renders with the restored texture T_res, and ‖T − T_res‖², channels at one scale.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import Tensor

from ..nets.vqgan import VQGAN
from .avatar import AvatarStage, network
from .loop import State

SOME = 64  # textures that the VQGAN's scale and first codes are taken from


class CompressionStage(AvatarStage):
    uses = ("encoder", "generator", "renderer", "vqgan")
    learns = ("vqgan",)
    needs = ("encoder", "generator", "renderer")
    direct, restored = False, True

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        vqgan = cast(VQGAN, network(self.modules["vqgan"]))
        if state.step == 0 and bool((vqgan.std == 1).all()):
            vqgan.settle(self.some(state))
            for t in (vqgan.mean, vqgan.std, vqgan.model.quantize.embedding.weight.data):
                t.copy_(cast(Tensor, broadcast(t)))
        return super().step(batch, state)

    @torch.no_grad()
    def some(self, state: State) -> Tensor:
        """Textures [SOME, 21, S, S] of the run's first people."""
        rngs = (np.random.default_rng([self.c.loop.seed, i]) for i in range(SOME))
        samples, nets = [self.sample(i, rng) for i, rng in enumerate(rngs)], self.nets(state.device)
        batches = ({k: torch.from_numpy(x)[None].to(state.device) for k, x in s.items()} for s in samples)
        return torch.cat([self.given(nets, b)[0] for b in batches])
