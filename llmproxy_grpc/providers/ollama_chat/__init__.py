"""Ollama's own API: requests, answers and streams."""
