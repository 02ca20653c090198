"""`airelays migrate`: take over what an earlier AIRelays has kept. Layer: commands."""
