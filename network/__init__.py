"""What the programs share, and a folder for what belongs to one task."""
