"""Sockets and clocks: the listener, one client connection, the pooled client for upstreams, trust."""
