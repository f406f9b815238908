"""Pages of digits: read (`reader.py`), shown (`figures.py`), and drawn with the truth (`drawn.py`)."""
