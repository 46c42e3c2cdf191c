"""Networks, sound features and weight files."""
