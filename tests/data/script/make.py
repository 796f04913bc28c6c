# SPDX-License-Identifier: MIT
"""Makes the TorchScript files beside it, with PyTorch 1.13: python3 make.py

A small network whose forward returns, after its result, the output of each of its layers.
"""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(6, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        conv = self.conv(x)
        return self.norm(conv), conv


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3)
        self.block = Block()
        self.up = nn.ConvTranspose2d(8, 4, 2)
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        first = self.first(x)
        block, conv = self.block(torch.relu(first))
        up = self.up(torch.relu(block))
        series, state = self.lstm(up.flatten(2).transpose(1, 2))
        head = self.head(series[:, -1])
        return head, first, conv, up, series


torch.manual_seed(0)
net = Net()
torch.jit.script(net).save("scripted.pt")
torch.jit.trace(net, torch.randn(4, 3, 9, 9)).save("traced.pt")
torch.jit.freeze(torch.jit.script(net.eval())).save("frozen.pt")
