"""`airelays migrate`: import what an earlier AIRelays stored. Layer: commands."""
