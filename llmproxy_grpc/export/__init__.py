"""Recorded calls as datasets: chosen, rendered, cut into chunks and files."""
