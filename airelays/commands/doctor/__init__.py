"""`airelays doctor`: is everything ready, and if not, what to do. Layer: commands."""
