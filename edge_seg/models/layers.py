"""What several networks are made of: a convolution with its batch norm, and He's initialisation.

    stem = conv_norm(3, 16, 3, stride=2, activation=nn.ReLU())
    he_initialise(network, network.classifier)

The parts are modules of their own, named conv, norm and act, so that torch.fx finds and fuses them
and the exporter folds the batch norm away.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int] = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    activation: nn.Module | None = None,
) -> nn.Sequential:
    """Return a convolution, its batch norm (Ioffe and Szegedy 2015, arXiv:1502.03167), activation.

    (N, inputs, h, w) -> (N, outputs, h / stride, w / stride) for odd kernels and sizes that the
    stride divides: it pads with zeros, as much on all sides. A kernel of (rows, columns) may be
    long and thin.
    """
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    convolution = nn.Conv2d(
        inputs,
        outputs,
        (rows, columns),
        stride=stride,
        padding=(dilation * (rows - 1) // 2, dilation * (columns - 1) // 2),
        dilation=dilation,
        groups=groups,
        bias=False,  # a batch norm has its own
    )
    parts: OrderedDict[str, nn.Module] = OrderedDict(conv=convolution, norm=nn.BatchNorm2d(outputs))
    if activation is not None:
        parts["act"] = activation
    return nn.Sequential(parts)


def he_initialise(network: nn.Module, classifier: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Draw the weights of all convolutions from torch's global generator; their biases are 0.

    He initialisation (He et al. 2015, arXiv:1502.01852), which keeps the variance through ReLU
    layers. The last layer's weights are small, normal with 0.01 (as Lin et al. 2017,
    arXiv:1708.02002, section 4.1): training begins with all classes alike. Drawn by He's rule,
    enet's first forty steps only shrank its logits (measured).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.normal_(classifier.weight, std=0.01)
