"""Calls of another proxy: the channel, its features, its answers and its errors."""
