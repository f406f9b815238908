"""Task 4: trials of settings, and hypotheses about them."""
