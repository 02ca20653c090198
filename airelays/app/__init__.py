"""Endpoints: they join the rules with sockets, disk and upstreams, and parse nothing themselves."""
