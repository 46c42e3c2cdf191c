"""ffmpeg: what a file holds, its pictures and samples on one clock, and files that are written."""
