"""How providers are: learned from calls and from probes."""
