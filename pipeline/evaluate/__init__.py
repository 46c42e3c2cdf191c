"""LSE-D and LSE-C of a folder of videos: python -m pipeline.evaluate."""
