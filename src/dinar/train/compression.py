"""Stage 2: the VQGAN, which compresses textures for the diffusion model (§3.3 "Reducing texture space").

    dinar train compression --data PEOPLE --init runs/avatar/weights --run runs/compression

The other networks are fixed. The loss is eq. 4 on renders of the restored texture T_res, and ‖T − T_res‖² in units of
each channel's standard deviation.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import Tensor

from ..nets.vqgan import VQGAN
from .avatar import AvatarStage, network
from .state import State

INIT_TEXTURES = 64  # textures for the VQGAN's statistics and initial codebook


class CompressionStage(AvatarStage):
    uses = ("encoder", "generator", "renderer", "vqgan")
    learns = ("vqgan",)
    needs = ("encoder", "generator", "renderer")
    direct, restored, windowed = False, True, False

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        vqgan = cast(VQGAN, network(self.modules["vqgan"]))
        if self.c.texture_statistics and state.step == 0 and bool((vqgan.std == 1).all()):
            vqgan.init_statistics(self.first_textures(state))
            for t in (vqgan.mean, vqgan.std, vqgan.model.quantize.embedding.weight.data):
                t.copy_(cast(Tensor, broadcast(t)))
        return super().step(batch, state)

    @torch.no_grad()
    def first_textures(self, state: State) -> Tensor:
        """Textures [INIT_TEXTURES, 21, S, S] of the run's first samples."""
        rngs = (np.random.default_rng([self.c.loop.seed, i]) for i in range(INIT_TEXTURES))
        samples, nets = [self.sample(i, rng) for i, rng in enumerate(rngs)], self.nets(state.device)
        batches = ({k: torch.from_numpy(x)[None].to(state.device) for k, x in s.items()} for s in samples)
        return torch.cat([self.input_textures(nets, b)[0] for b in batches])
