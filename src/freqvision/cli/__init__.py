"""The command line: `main.py` finds the command, each command has a file."""
