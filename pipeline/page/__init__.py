"""The page about one video: results read, put into words and charts, written as one HTML file."""
