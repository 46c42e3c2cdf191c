"""Entry points and data that make the weights in `models/weights/`."""
