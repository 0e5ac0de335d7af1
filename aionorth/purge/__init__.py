"""A purge: what to delete, the plan of it, and the journal by which it can be resumed."""
