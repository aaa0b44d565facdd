"""The places of the app and its dialogs, one a file."""
