"""One call and what to do after each reply; and the bulk run, which does it for a stream of ids."""
