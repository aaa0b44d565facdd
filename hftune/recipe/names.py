"""What a recipe or run may be called: safe as a folder name on every file system and in every shell."""

SAFE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
