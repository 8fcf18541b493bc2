"""`python -m energan` is `energan`."""

from energan.cli import run

run()
