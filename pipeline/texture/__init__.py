"""New mouths with the person's own pixels, chosen from the same video and moved into place."""
