"""What has been tried for one call, and what follows; and the bulk run, which makes calls for many ids."""
