"""Where recordings come from. Each source only calls `receive`; none knows keys, SQL or pages."""
