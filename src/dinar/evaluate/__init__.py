"""Measures of pictures and shapes."""

from .metrics import iou as iou
from .metrics import ms_ssim as ms_ssim
from .metrics import psnr as psnr
