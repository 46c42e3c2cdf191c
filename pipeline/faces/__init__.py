"""A video to shots, face tracks and face clips: run_pipeline.py."""
