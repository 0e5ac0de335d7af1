"""One call, and the bulk run that makes calls for many ids.

What has been tried for a call is a value (`record`); what follows is decided from it (`decide`, `retry`) and carried
out by the one path of every call (`caller`). A run (`run`) has work to do: one call for each id (`pool`, which draws
the ids from its `intake`) or one for all (`batch`). `workers` do it, the `account` knows what became of each id, and
`results` hands that over to the caller that iterates the run.
"""
