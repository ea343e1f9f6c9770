"""One thread: the workers of a parallel run share the cores, and small problems gain nothing."""

import torch

torch.set_num_threads(1)
