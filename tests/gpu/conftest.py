"""Tests on a GPU. Where there is none they run on a pretended one, by units/test_pretended_gpu.py,
and are not collected here."""

import torch

if not torch.cuda.is_available():
    collect_ignore_glob = ["test_*.py"]
