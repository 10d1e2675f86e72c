"""The command line: `greenwsgi serve` and its parts. `main` is the entry point."""
