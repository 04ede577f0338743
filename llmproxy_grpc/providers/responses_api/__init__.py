"""OpenAI's Responses API: requests, answers and streams."""
