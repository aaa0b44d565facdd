"""Commands: one verb a file, each with `execute(arguments, output) -> exit code`."""
