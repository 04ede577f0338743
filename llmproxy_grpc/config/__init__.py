"""The configuration: its schema, where it comes from, and how it is reloaded."""
