"""Networks, sound features and weight files: what happens to a tensor."""
