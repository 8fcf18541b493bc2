"""Figures and the page that shows runs, made from what lies in their folders."""
