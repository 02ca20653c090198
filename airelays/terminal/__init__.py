"""What every command has in common: arguments, flags, printing, where the files are. Layer: commands."""
