"""The inpainting of §3.3: condition, denoise, decode, blend."""

from .blend import blend as blend
from .condition import complete as complete
from .condition import condition as condition
from .condition import filled as filled
from .condition import resize as resize
from .inpaint import inpaint as inpaint
from .sampler import SAMPLERS as SAMPLERS
from .sampler import denoise as denoise
from .sampler import noise_schedule as noise_schedule
