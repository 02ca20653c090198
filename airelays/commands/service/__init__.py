"""`airelays service`: run the relay in the background. Layer: commands."""
