"""The original video with the lag of its sound removed: what run_syncnet.py --correct does."""
