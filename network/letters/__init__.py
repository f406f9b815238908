"""Task 3 and extension 2: folders of letters."""
