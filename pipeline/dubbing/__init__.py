"""New mouths for new sound: run_wav2lip.py."""
