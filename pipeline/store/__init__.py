"""Where everything lies: the folders of one video, its files, and how results are replaced."""
