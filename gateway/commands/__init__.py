"""The commands, by what they are for. Each module is imported when its command is used."""
