"""Evaluation (§4.2, §4.3, app. D): metrics of pictures and animations, the protocol, reports."""

from .metrics import iou as iou
from .metrics import ms_ssim as ms_ssim
from .metrics import psnr as psnr
