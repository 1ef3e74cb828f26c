"""The stages in the order they run, and the command line."""
