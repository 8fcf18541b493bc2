"""Tests on a GPU, or on a pretended one, in a process that units/test_gpu.py starts: elsewhere none
is seen, and they are not collected."""

import torch

if not torch.cuda.is_available():
    collect_ignore_glob = ["test_*.py"]
