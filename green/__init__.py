"""greenwsgi."""
