"""Wire formats as pure functions and incremental parsers. Layer: rules."""
