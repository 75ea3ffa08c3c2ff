"""From noise to latents (§3.3, §3.4): DDPM, DDIM and DPM-Solver++ through diffusers' schedulers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import DinarError
from ..nets.denoiser import Denoiser

STEPS = 1000  # T
BETAS = (3e-4, 2e-2)  # linear, the released system's


def noise_schedule(name: str = "ddpm", prediction: str = "epsilon") -> Any:
    """A diffusers scheduler on the training schedule. ``ddim`` is the released system's: η = 1, 200 steps."""
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    shared: dict[str, Any] = {"num_train_timesteps": STEPS, "beta_start": BETAS[0], "beta_end": BETAS[1],
                              "beta_schedule": "linear", "prediction_type": prediction}  # fmt: skip
    if name == "ddpm":
        return DDPMScheduler(**shared, clip_sample=False)
    if name in ("ddim", "ddim0"):
        return DDIMScheduler(**shared, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing")
    if name == "dpm++":
        return DPMSolverMultistepScheduler(**shared, algorithm_type="dpmsolver++", solver_order=2,
                                           final_sigmas_type="zero", timestep_spacing="trailing")  # fmt: skip
    raise DinarError(f"expected a sampler of {', '.join(SAMPLERS)}, got {name}")


SAMPLERS = {"ddpm": 1000, "ddim": 200, "ddim0": 50, "dpm++": 20}
"""Names, and the steps each is meant for: DDPM ancestral; DDIM with η = 1 and η = 0; DPM-Solver++ of second order."""


@torch.no_grad()
def denoise(
    net: Denoiser,
    condition: Tensor,  # [B, conditions, s, s]
    seeds: Sequence[int],  # one a sample: the same seed, the same sample, whatever else is in the batch
    sampler: str = "dpm++",
    steps: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:  # [B, 6, s, s] latents of the VQGAN
    """M steps from pure noise (§3.4). Noise is drawn on the CPU, so that a seed means the same on every device."""
    if len(seeds) != len(condition):
        raise DinarError(f"expected a seed for each of {len(condition)} samples, got {len(seeds)}")
    scheduler = noise_schedule(sampler, net.config["prediction"])
    scheduler.set_timesteps(steps or SAMPLERS[sampler])
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    shape = (net.config["latent"], *condition.shape[2:])

    def noise() -> Tensor:
        return torch.stack([torch.randn(shape, generator=g) for g in generators]).to(condition.device)

    x = noise()
    extra: dict[str, Any] = {"ddim": {"eta": 1.0}, "ddim0": {"eta": 0.0}}.get(sampler, {})
    for k, t in enumerate(scheduler.timesteps):
        eps = net(x, t.to(x.device).expand(len(x)), condition).float()
        drawn = {"variance_noise": noise()} if sampler == "ddim" else {}
        if sampler == "ddpm" and t > 0:
            drawn = {"generator": generators}
        x = scheduler.step(eps, t, x, **extra, **drawn).prev_sample
        progress(k + 1, len(scheduler.timesteps))
    return net.natural(x)
