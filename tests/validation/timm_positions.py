"""What timm makes of positions of another grid: writes FILE.npz.

    timm_positions.py FILE
"""

import sys

import numpy as np
import torch
from timm.layers import resample_abs_pos_embed
from timm.layers.pos_embed_rel import resize_rel_pos_bias_table_simple

torch.manual_seed(0)
arrays = {}
for old, new, prefix in [(7, 12, 1), (14, 24, 1), (14, 7, 0), (5, 3, 2)]:
    positions = torch.randn(1, prefix + old * old, 24)
    resized = resample_abs_pos_embed(positions, [new, new], num_prefix_tokens=prefix)
    arrays[f"{old} {new} {prefix} positions"] = positions.numpy()
    arrays[f"{old} {new} {prefix} resized"] = resized.numpy()
for old, new, extra in [(4, 7, 0), (7, 4, 3), (3, 9, 3)]:
    table = torch.randn((2 * old - 1) ** 2 + extra, 6)
    side = 2 * new - 1
    resized = resize_rel_pos_bias_table_simple(table, (new, new), (side * side + extra, 6))
    arrays[f"{old} {new} {extra} table"] = table.numpy()
    arrays[f"{old} {new} {extra} resized table"] = resized.contiguous().numpy()
np.savez(sys.argv[1], **arrays)
