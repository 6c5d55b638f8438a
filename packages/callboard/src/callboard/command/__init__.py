"""The command line: run, docs, demo, tree, top."""
