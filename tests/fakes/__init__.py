"""Peers and clocks of our own, scripted by the tests."""
