"""The click tool that needs nothing downloaded."""
