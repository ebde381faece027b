"""The authority's sockets: frames, the end that serves and the end that asks."""
