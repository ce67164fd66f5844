"""A run served to people: one page and one interface, on which they put objects right and say how they are."""
