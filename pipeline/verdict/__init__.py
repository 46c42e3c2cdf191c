"""What a user can act on: the offset of each track and of the video, and why there is none."""
