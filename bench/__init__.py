"""The benchmark: a stand-in provider, a floor, and a runner that compares the proxy with the floor."""
