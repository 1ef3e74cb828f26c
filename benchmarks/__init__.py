"""What is claimed of speed and quality, each claim a script; README.md says what each one prints."""
