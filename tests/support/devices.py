"""The devices to test on: the CPU always, an accelerator where there is one."""

import torch

DEVICES = ("cpu", *(("cuda",) if torch.cuda.is_available() else ()))
