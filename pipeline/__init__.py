"""What happens to a video, one noun per file: see README.md for the order."""
