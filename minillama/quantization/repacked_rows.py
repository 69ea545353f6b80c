"""Stopgap."""

import numpy as np

from ..compute.jit import helper
from .repacked_kernels import address_of_kind, multiply_groups
from .repacked_layout import Planes

ROWS_SCRATCH = 64
address_of_rows_kind = address_of_kind


@helper
def multiply_group_rows(address, arguments):
    data, layout, first, last, x, planes, y, at, scratch = arguments
    for n in range(len(x)):
        own = Planes(planes.high[n], planes.low[n], planes.d[n], planes.total[n], planes.half[n])
        multiply_groups(address, (data, layout, first, last, x[n], own, y[n], at))
