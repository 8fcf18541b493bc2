"""`python -m energan` is `energan`."""

from energan.cli.main import run

run()
