"""Cohere's API of version 2: requests, answers and streams."""
