"""Face clips to offsets, confidence and who speaks: run_syncnet.py."""
