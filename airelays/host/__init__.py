"""The process and what surrounds it: start, stop, service managers, the forms of the program. Layer: app."""
