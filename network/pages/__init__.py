"""Pages of digits: reading them, figures of them, and drawing them with the truth beside."""
