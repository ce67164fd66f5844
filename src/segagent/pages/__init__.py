"""What pages that open from disk are made of: their frame, tables, charts, pictures."""
