"""With this folder on PYTHONPATH every Python process sees the pretended GPU; see __init__.py."""

from importlib import import_module

import_module("pretended_device")
