"""The Chat Completions wire: what OpenAI and everything compatible with it speak, for kinds to compose."""
