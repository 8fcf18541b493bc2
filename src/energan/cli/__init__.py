"""The commands, related ones in one file; each takes its words and gives its exit code."""
