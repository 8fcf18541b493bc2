"""Scores of runs, with their protocol: extractors, references, provenance."""
