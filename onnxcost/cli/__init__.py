"""The command line: parse, call, render, nothing else. One file a command, imported when it runs."""
