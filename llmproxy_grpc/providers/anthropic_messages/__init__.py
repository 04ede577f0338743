"""Anthropic's Messages API: requests, answers and streams."""
