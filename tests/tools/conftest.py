"""Makes ``conformance`` importable from the tests of every tool, those in subfolders included."""
