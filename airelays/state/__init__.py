"""What the relay keeps for clients: files, conversations, answers; its database and its thread. Layer: I/O."""
