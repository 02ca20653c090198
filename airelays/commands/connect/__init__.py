"""`airelays connect`: settings of client programs. Layer: commands."""
