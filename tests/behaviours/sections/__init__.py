"""The scenarios, a file for each part of the list."""
