"""Task 2 and extension 1: what small filters are like, and what chance would score."""
