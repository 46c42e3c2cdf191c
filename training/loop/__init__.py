"""The one loop every network is trained by, and what a run keeps."""
