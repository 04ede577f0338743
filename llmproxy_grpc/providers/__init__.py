"""Providers: everything that speaks to a language model upstream, one file a kind."""
