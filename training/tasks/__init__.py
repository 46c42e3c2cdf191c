"""What is SyncNet's own and Wav2Lip's own in the loop."""
