"""Networks for inference, with every batch norm folded into the layer before it.

In eval mode a batch norm is a factor and a constant per channel; multiplied into the weights once,
it costs nothing per picture. The folded copy computes the same up to float32 rounding.
"""

import copy
from typing import TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def fold_batch_norms(model: Network) -> Network:
    """A copy for inference that runs faster; weights are read into the model itself.

    Args:
        model: any network; a pair is folded where a batch norm follows a convolution (also a
            transposed one, ungrouped) or a linear layer within an `nn.Sequential`.

    Returns:
        The copy, in eval mode and without gradients; batch norms have become `nn.Identity`, so
        that layers keep their numbers. Memory formats are kept.
    """
    folded = copy.deepcopy(model).eval().requires_grad_(False)
    for parent in folded.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        for i in range(len(parent) - 1):
            layer, norm = parent[i], parent[i + 1]
            if not isinstance(norm, _BatchNorm):
                continue
            if isinstance(layer, _ConvNd):
                parent[i] = fuse_conv_bn_eval(layer, norm, transpose=layer.transposed)
            elif isinstance(layer, nn.Linear):
                parent[i] = fuse_linear_bn_eval(layer, norm)
            else:
                continue
            parent[i + 1] = nn.Identity()
    return folded
