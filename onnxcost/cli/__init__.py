"""The command line: parse, call, render, nothing else. One file per command, imported when it runs."""
