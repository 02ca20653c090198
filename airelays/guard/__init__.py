"""Who may call, how often and how much: pure decisions over heads, addresses and a clock that is handed in."""
